"""The model card: what a model is for, what it learned from, what it showed, and where it should not be trusted.

The sections follow Mitchell et al., "Model Cards for Model Reporting" (2019). Everything in it was recorded when the
model was trained and compared; nothing is measured here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplatform.ml.tasks import task_for
from mlplatform.spec import SplitByTime, UseCase

__all__ = ["CardFacts", "model_card"]

_TOP = 10
_TASK_LIMITS = {
    "binary": "Probabilities were calibrated on the tune rows; with another share of positives they are off.",
    "multiclass": "Probabilities were calibrated on the tune rows; with other shares of the classes they are off.",
    "regression": "Intervals were widened on the tune rows; where amounts swing more than then, they hold too little.",
    "forecast": "Intervals were widened on the tune rows; where amounts swing more than then, they hold too little.",
    "ranking": "Only candidates can be ranked, and only what people came across could be found right.",
}


@dataclass(frozen=True)
class CardFacts:
    """What was recorded of one registered version."""

    version: int
    run_id: str
    """MLflow's run of the training."""
    candidate: str
    params: Mapping[str, str]
    """As MLflow keeps them: what was searched, what was fixed, the parts' boundaries, the code version."""
    metrics: Mapping[str, float]
    """Figures on the test rows, `test_<name>`, `test_<name>_low`, `test_<name>_high`."""
    dataset: Mapping[str, Any]
    """The frozen training set: snapshot, hash of the content, rows."""
    importance: Mapping[str, float]
    comparison: Mapping[str, Any]
    """What `comparison_record` kept: contenders, gates and slices."""


def model_card(spec: UseCase, facts: CardFacts) -> str:
    """The card as Markdown; the same facts give the same text."""
    sections = [
        f"# {spec.name} v{facts.version}",
        spec.description,
        _table(("", ""), _summary(spec, facts)),
        "## What it learned from",
        _table(("", ""), _data(facts)),
        "## What it showed on rows that it had not seen",
        _table(("figure", "value", "interval"), _figures(spec, facts)),
        *_contenders(facts),
        "## Groups",
        *_slices(spec, facts),
        "## What had to hold",
        _table(("gate", "passed", "value", "limit", "what it means"), _gates(facts)),
        "## What it goes by",
        _table(("feature", f"mean absolute contribution, {task_for(spec.training.task).unit}"), _importance(facts)),
        "## Limits",
        "\n".join(f"- {each}" for each in _limits(spec, facts)),
        "## To have it again",
        _reproduce(spec, facts),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(spec: UseCase, facts: CardFacts) -> Iterable[tuple[str, str]]:
    task = spec.training.task
    if task.kind == "binary":
        yield "decides between", f"{spec.outcomes.positive} (1) and {spec.outcomes.negative} (0)"
    if task.kind == "multiclass":
        yield "classes", ", ".join(task.classes)
    yield "answers", facts.params.get("answers", task_for(task).levels)
    yield "model", f"candidate {facts.candidate}, {facts.params.get('kind', 'kind unknown')}"
    yield "chosen because", str(facts.comparison["verdict"])
    yield "owners", ", ".join(spec.owners) or "nobody is declared"


def _data(facts: CardFacts) -> Iterable[tuple[str, str]]:
    yield "rows fitted on", f"{int(facts.params['train_rows']):,}"
    for part in ("train", "tune", "test"):
        if f"{part}_start" in facts.params:
            yield part, f"{facts.params[f'{part}_start']} to {facts.params[f'{part}_end']}"
        if f"{part}_from_share" in facts.params:
            shares = [float(facts.params[f"{part}_{edge}_share"]) for edge in ("from", "to")]
            yield part, f"{shares[1] - shares[0]:.0%} of the groups"
    if "cleaning" in facts.params:
        yield "cleaning", facts.params["cleaning"]
    yield "training set", f"snapshot {facts.dataset['lake/snapshot']} of the lake"
    yield "SHA-256 of its content", f"`{facts.dataset['content_sha256']}`"
    yield "frozen as of", str(facts.dataset["as_of"])


def _figures(spec: UseCase, facts: CardFacts) -> Iterable[tuple[str, str, str]]:
    level = f"{spec.training.gates.confidence:.0%}"
    for key in sorted(facts.metrics):
        name = key.removeprefix("test_")
        if name == key or name.endswith(("_low", "_high")) or name == "evidence":
            continue
        low, high = (facts.metrics.get(f"{key}_{edge}") for edge in ("low", "high"))
        interval = f"{low:.4g} to {high:.4g} ({level})" if low is not None and high is not None else ""
        yield name.replace("_", " "), _number(facts.metrics[key]), interval


def _contenders(facts: CardFacts) -> Iterable[str]:
    contenders, metric = facts.comparison["contenders"], str(facts.comparison["metric"])
    told = ("contender", "metric", "passed", metric)
    names = [name for name in contenders[0] if name not in told and not name.endswith(("_low", "_high"))]
    rows = [
        (str(each["contender"]), *(_with_interval(each, name) for name in ("metric", *names))) for each in contenders
    ]
    yield "Beside the other contenders, on the same rows:"
    yield _table(("contender", metric.replace("_", " "), *(name.replace("_", " ") for name in names)), rows)


def _slices(spec: UseCase, facts: CardFacts) -> Iterable[str]:
    groups = facts.comparison["slices"]
    if not groups:
        yield "No slices are declared, so nothing is known of how it does on parts of the rows."
        return
    rows = [
        (f"{each['column']} = {each['group']}", f"{each['rows']:,}", f"{each['evidence']:,}", _in_group(each))
        for each in groups
    ]
    evidence = task_for(spec.training.task).evidence_name
    yield _table(("group", "rows", f"of them {evidence}", str(facts.comparison["metric"]).replace("_", " ")), rows)


def _gates(facts: CardFacts) -> Iterable[tuple[str, ...]]:
    for gate in facts.comparison["gates"]:
        yield (
            gate["name"].replace("_", " "),
            "yes" if gate["passed"] else "**no**",
            f"{gate['value']:.4g}",
            f"{gate['limit']:.4g}",
            gate["detail"],
        )


def _importance(facts: CardFacts) -> Iterable[tuple[str, str]]:
    top = sorted(facts.importance.items(), key=lambda item: -item[1])[:_TOP]
    return [(name, f"{value:.4f}") for name, value in top]


def _limits(spec: UseCase, facts: CardFacts) -> Iterable[str]:
    split = spec.training.split
    if isinstance(split, SplitByTime):
        yield (
            f"Labels become known {split.label_delay_days} days late; what changed since "
            f"{facts.params.get('test_end', facts.dataset['as_of'])} has not been seen by anyone who judged it."
        )
    else:
        yield f"It was judged on other {split.key}s of the same time, not on a later time."
    gates = spec.training.gates
    few = [each for each in facts.comparison["slices"] if each["evidence"] < gates.slice_min_positives]
    if few:
        names = ", ".join(f"{each['column']} = {each['group']} ({each['evidence']})" for each in few)
        evidence = task_for(spec.training.task).evidence_name
        yield f"Too few {evidence} to judge (less than {gates.slice_min_positives}): {names}."
    yield _TASK_LIMITS[spec.training.task.kind]
    yield "Contributions say what moved a score, not what causes the outcome."
    yield (
        f"Whether inputs still look like its training rows is watched on windows of {spec.drift.window_days} days; "
        "its performance is known only when labels arrive."
    )


def _reproduce(spec: UseCase, facts: CardFacts) -> str:
    return (
        f"MLflow run `{facts.run_id}` keeps its parameters, seed and code version "
        f"(`{facts.params.get('code_version', 'unknown')}`); its rows are "
        f"`{spec.name}.training_set AT (VERSION => {facts.dataset['lake/snapshot']})`, which maintenance keeps. "
        f"`mlplatform reproduce {spec.name}@{facts.version}` trains it again and compares."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:.4g}"


def _shown(value: float | None) -> str:
    return "cannot be had" if value is None else f"{value:.4g}"


def _with_interval(contender: Mapping[str, Any], name: str) -> str:
    low, high = (contender.get(f"{name}_{edge}") for edge in ("low", "high"))
    shown = _shown(contender[name])
    return shown if low is None or high is None else f"{shown} [{low:.4g}, {high:.4g}]"


def _in_group(group: Mapping[str, Any]) -> str:
    return _with_interval(
        {"metric": group["metric"], "metric_low": group.get("low"), "metric_high": group.get("high")}, "metric"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
