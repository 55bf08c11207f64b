"""The text of defs.yaml, with a comment for each choice."""

import math
from collections.abc import Iterator

from mlplatform.scaffold.plan import Plan
from mlplatform.scaffold.quoting import as_comment, as_yaml
from mlplatform.scaffold.write_contract import SOURCE

__all__ = ["defs_text"]

_PLAIN, _MANY = 50, 200_000


def defs_text(plan: Plan) -> str:
    """The declaration."""
    parts = [_head(plan), _source(plan), _training(plan), _gates(plan), _watching(plan)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(plan: Plan) -> Iterator[str]:
    target = plan.target
    yield "# Written by `mlplatform new`. What it chose is a start: `choice` marks what is yours to decide."
    yield "# Every field: docs/use-case.md. What was seen of the columns: contract.py and `mlplatform new --look`."
    yield "type: mlplatform.components.UseCase"
    yield ""
    yield "attributes:"
    yield f"  name: {plan.name}"
    yield f"  description: {as_yaml(_describe(plan))}"
    yield "  # choice: who answers for it, an e-mail address or team:name."
    yield "  owners: []"
    if target.task == "binary":
        negative, positive = (f"{target.column.name} {value}" for value in target.classes)
        yield f"  outcomes: {{positive: {as_yaml(positive)}, negative: {as_yaml(negative)}}}"
    yield ""


def _describe(plan: Plan) -> str:
    target = plan.target
    if target.task == "regression":
        return f"{target.column.name} of a row of {plan.name}."
    if target.task == "multiclass":
        return f"Which {target.column.name} a row of {plan.name} has."
    return f"How likely {target.column.name} is {target.classes[1]}."


def _source(plan: Plan) -> Iterator[str]:
    yield "  sources:"
    yield f"    - name: {SOURCE}"
    for name, value in plan.origin.declared().items():
        yield f"      {name}: {as_yaml(value)}"
    yield f"      key: [{plan.key_name}]"
    if plan.key is None:
        yield "      # No column identifies a row, so its content does. choice: name a key of yours, so that"
        yield "      # applications can send it and labels that come later find their predictions."
        yield f"      row_id: {{column: row_key, without: [{', '.join(_not_counted(plan))}]}}"
    yield from _time(plan)
    renamed = {plan.names[c.name]: c.name for c in plan.raw_columns if plan.names[c.name] != c.name}
    if renamed:
        yield "      # Legal name: name in the source."
        yield f"      columns: {as_yaml(renamed)}"
    missing = {plan.names[c.name]: list(c.markers) for c in plan.raw_columns if c.markers}
    if missing:
        yield "      # guess: these texts mean that there is no value."
        yield f"      missing_values: {as_yaml(missing)}"
    commas = [plan.names[c.name] for c in plan.raw_columns if c.decimal_comma]
    if commas:
        yield "      # Their numbers are written as 1.234,5."
        yield f"      decimal_comma: {as_yaml(commas)}"
    yield ""
    yield f"  entity_keys: [{plan.key_name}]"
    yield "  # choice: the share of a batch that may break the contract before the run stops."
    yield f"  contract: {{max_bad_share: {_bad_share(plan)}}}"
    yield ""


def _not_counted(plan: Plan) -> Iterator[str]:
    """The columns that do not number a row: the label; and where features were chosen, all that were, so that the rows
    that learn could be told before.
    """
    yield plan.target.name
    if plan.numbering:
        counted = {plan.target.name, *(plan.names[each.name] for each in plan.numbering)}
        yield from (name for each in plan.raw_columns if (name := plan.names[each.name]) not in counted)


def _bad_share(plan: Plan) -> float:
    """Room for the rows whose time is astray, or that lack it or their entity: they were seen, and go to quarantine."""
    strays = plan.span.strays if plan.span is not None else 0
    missing = sum(each.missing for each in (plan.time, plan.entity) if each is not None)
    share = (strays + missing) / plan.profile.rows
    return max(0.01, math.ceil(150 * share) / 100)


def _time(plan: Plan) -> Iterator[str]:
    if plan.time is None:
        yield "      # No time: all rows are read in every run, and the time of a row is when it was read first."
        yield "      time_column: null"
        return
    yield f"      time_column: {plan.names[plan.time.name]}"
    yield "      # choice: `day` with `start:` reads only new days of a source that grows; `none` reads all each time."
    yield "      partition: none"


def _training(plan: Plan) -> Iterator[str]:
    yield "  training:"
    yield from _task(plan)
    left_out = [note for note in plan.notes if note.left_out]
    if left_out:
        yield "    # Not used:"
        yield from (f"    #   {as_comment(str(note.column))}: {as_comment(note.text)}" for note in left_out[:40])
        if len(left_out) > 40:
            yield f"    #   and {len(left_out) - 40} more"
    yield "    features:"
    yield from (f"      - {feature.name}" for feature in plan.features)
    categories = [feature.name for feature in plan.features if feature.kind == "category"]
    if categories:
        yield f"    categorical: [{', '.join(categories)}]"
    yield from _cleaning(plan)
    yield from _split(plan)
    yield from _candidates(plan)


def _task(plan: Plan) -> Iterator[str]:
    target = plan.target
    guess = "  # guess; say --task if it is another" if target.guessed else ""
    if target.task == "binary":
        ratio = min(100, round((1 - target.naive) / target.naive)) if target.naive < 0.1 else 1
        yield "    # choice: what the two mistakes cost; the threshold of the decision follows from it."
        yield f"    task: {{kind: binary, costs: {{false_positive: 1, false_negative: {ratio}}}}}{guess}"
    elif target.task == "multiclass":
        yield f"    task: {{kind: multiclass, classes: {as_yaml(list(target.classes))}}}{guess}"
    else:
        low = target.column.minimum
        floor = ", minimum: 0" if low is not None and low >= 0 else ""
        yield f"    task: {{kind: regression, quantiles: [0.1, 0.5, 0.9]{floor}}}{guess}"


def _cleaning(plan: Plan) -> Iterator[str]:
    """Columns of many categories become their mean label, where labels have one."""
    many = [f.name for f in plan.features if f.kind == "category" and f.column.distinct > _PLAIN]
    if not many:
        return
    if plan.target.task == "multiclass":
        yield f"    cleaning: [{{kind: categorical, columns: [{', '.join(many)}], rare_below: 20}}]"
    else:
        yield "    # More than 50 categories: each becomes the mean label of its training rows."
        yield f"    cleaning: [{{kind: target, columns: [{', '.join(many)}]}}]"


def _split(plan: Plan) -> Iterator[str]:
    split = plan.split
    if split.kind == "time":
        yield "    # The past learns, the future judges. choice: label_delay_days, after how long a label"
        yield f"    # is known (models/{plan.name}_stg_{SOURCE}.sql says the same)."
        if plan.entity is not None:
            yield f"    # Rows of one {plan.names[plan.entity.name]} learn and judge: it holds none together here."
        yield "    split:"
        yield "      kind: time"
        yield f"      label_delay_days: {plan.label_delay_days}"
        yield f"      train_days: {split.train_days}"
        yield f"      tune_days: {split.tune_days}"
        yield f"      test_days: {split.test_days}"
        return
    folds = ", cross_validation: {kind: stratified}" if plan.target.task == "binary" else ""
    if plan.entity is not None:
        yield "    # All rows of one of these learn, or all of them judge."
    else:
        yield "    # Rows are dealt by a hash of their key: the same ones each time."
    shares = f"tune_share: {split.tune_share}, test_share: {split.test_share}"
    yield f"    split: {{kind: group, key: {split.key}, {shares}{folds}}}"


def _candidates(plan: Plan) -> Iterator[str]:
    rows = plan.target.labelled
    trials, seconds = (8, 30) if rows <= 20_000 else (3, 60) if rows <= _MANY else (0, 60)
    rounds = 500 if rows <= _MANY else 300
    linear = "ridge" if plan.target.task == "regression" else "logistic"
    yield "    # choice: docs/trainers.md has more kinds; more trials, better models."
    yield "    candidates:"
    yield "      - kind: lightgbm"
    yield "        name: lightgbm"
    yield f"        rounds: {rounds}"
    if rows > _MANY and plan.target.task != "regression":
        # AUC on `million` of benchmarks/newcomer.py with 8 leaves (the default), 16 and 31: of 200,000 rows 0.7892,
        # 0.7907 and 0.7898; of all, 16 and 31 leaves reach 0.7942 and 0.7945.
        leaves = 31 if rows > 500_000 else 16
        yield "        # Not searched for: from so many rows larger trees learn more than the careful defaults."
        yield f"        params: {{num_leaves: {leaves}, learning_rate: 0.1}}"
    yield f"        tuning: {{trials: {trials}, seconds: {seconds}}}"
    yield "      # The plain one: what trees cannot beat it by is not worth having them."
    tuning = f"{{trials: {min(trials, 3)}, seconds: 20}}"
    yield f"      - {{name: {linear}, kind: sklearn, model: {linear}, tuning: {tuning}}}"


def _gates(plan: Plan) -> Iterator[str]:
    metric, floor, naive = _floor(plan)
    yield "    gates:"
    yield f"      # {naive}"
    yield f"      metric: {metric}"
    yield f"      floor: {floor}"
    yield "      # choice: `better` than the model that serves, or `not_worse`."
    yield "      incumbent: not_worse"
    yield f"      # Room for chance among {_test_rows(plan):,} test rows."
    yield f"      max_calibration_error: {_calibration(plan)}"
    yield "      max_latency_ms: 50"
    slices = [f.name for f in plan.features if f.kind == "category" and 2 <= f.column.distinct <= 8][:2]
    if slices:
        yield "      # choice: groups in which the model must hold, too."
        yield f"      # slices: [{', '.join(slices)}]"
    yield ""


def _floor(plan: Plan) -> tuple[str, float, str]:
    """The metric, what it must reach, and what the naive baseline reaches."""
    target = plan.target
    if target.task == "binary" and target.naive < 0.1:
        floor = round(min(1.5 * target.naive, 0.5), 4)
        return "average_precision", floor, f"Guessing reaches {target.naive:.4g}, the share of positives."
    if target.task == "binary":
        return "auc", 0.55, "Guessing reaches 0.5."
    if target.task == "multiclass":
        return "log_skill", 0.02, "0 is what the shares of the classes reach, 1 is certainty that is always right."
    unit = f"{target.naive:.4g}"
    return "skill", 0.02, f"0 is what the median reaches (off by {unit} on average), 1 is no error."


def _test_rows(plan: Plan) -> int:
    return max(10, int(0.2 * plan.target.labelled))


def _calibration(plan: Plan) -> float:
    """0.05, and twice what chance does to a perfect model: of ten bins, or of the share inside the interval."""
    rows = _test_rows(plan)
    share = plan.target.naive
    if plan.target.task == "regression":
        chance = math.sqrt(0.8 * 0.2 / rows)
    else:
        chance = 0.8 * math.sqrt(10 * share * (1 - share) / rows)
    drifting = 0.03 if plan.split.kind == "time" else 0.0
    return round(min(0.3, 0.05 + drifting + 2 * chance), 3)


def _watching(plan: Plan) -> Iterator[str]:
    span = plan.split.test_days if plan.split.kind == "time" else 7
    yield "  # choice: how long the windows are in which served rows are compared with the training rows."
    yield f"  drift: {{window_days: {max(1, min(28, span))}}}"
    yield "  # choice: when to train again; docs/monitoring.md."
    yield f"  policy: {{kind: combined, min_new_labelled_rows: {max(50, plan.target.labelled // 10)}}}"
