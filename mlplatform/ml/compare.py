"""Champion and challengers on the same rows that none of them has seen, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import Estimate, bootstrap_figures, difference, estimate
from mlplatform.ml.examples import Examples
from mlplatform.ml.gates import GateResult, SliceResult, apply_gates
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model
from mlplatform.ml.tasks import Task, task_for
from mlplatform.ml.train import labelled_examples
from mlplatform.spec.training import Training

__all__ = ["Comparison", "Contender", "compare", "single_row_latency_ms"]

LATENCY_ROWS = 200


@dataclass(frozen=True)
class Contender:
    """One model on the test rows. `gain` and `gates` are empty for the incumbent."""

    name: str
    metric: Estimate
    """The gates' metric with its interval."""
    figures: Mapping[str, Estimate]
    """All figures of the task by name, with their intervals."""
    latency_ms: float
    slices: tuple[SliceResult, ...]
    gain: Estimate | None
    """Paired difference to the incumbent."""
    gates: tuple[GateResult, ...]

    @property
    def passed(self) -> bool:
        """Whether it may serve: every gate passed."""
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True)
class Comparison:
    """All contenders on the same rows; `winner` is None when the incumbent stays (or nobody may serve)."""

    metric: str
    rows: int
    evidence: int
    """Rows that carry it: positives, or all of a forecast."""
    incumbent: Contender | None
    challengers: tuple[Contender, ...]
    """Best first."""
    winner: str | None
    verdict: str


def compare(
    challengers: Mapping[str, Model],
    incumbent: tuple[str, Model] | None,
    test: pd.DataFrame,
    training: Training,
    *,
    event_time: str,
    seed: int = 7,
) -> Comparison:
    """Judge every model on the same labelled rows and pick the best challenger that passes all gates.

    `incumbent` is (name, model). `test` holds features, label, event time, the slice columns and whatever else
    `training` names (weight, group, the task's columns).

    Rows that the incumbent may have learned from would flatter it: they are left out for all (it can have learned
    from some when the split was changed since).

    Raises:
        TrainingError: a challenger may have learned from one of the test rows, or too few of them are new to all.
    """
    models = dict(challengers) | ({incumbent[0]: incumbent[1]} if incumbent else {})
    if len(models) != len(challengers) + (incumbent is not None):
        raise TrainingError(f"a challenger has the incumbent's name {incumbent[0] if incumbent else ''!r}; rename it")
    _require_unseen(challengers, test, event_time)
    if incumbent:
        test = _new_to(incumbent, test, event_time, training)
    rows = _Rows.of(test, training, event_time)
    answers = {name: model.predict(model.matrix(test)) for name, model in models.items()}
    draws = {name: rows.draws(given, seed) for name, given in answers.items()}
    against = incumbent[0] if incumbent else None

    def contender(name: str, against: str | None) -> Contender:
        metric = training.metric
        gain = difference(draws[name][metric], draws[against][metric], training.gates.confidence) if against else None
        return rows.judge(name, models[name], answers[name], draws[name], gain, seed)

    judged = [contender(name, against) for name in challengers]
    ranked = tuple(sorted(judged, key=lambda each: -each.metric.value))
    current = contender(against, None) if against else None
    winner = next((each for each in ranked if each.passed), None)
    return Comparison(
        metric=training.metric,
        rows=len(test),
        evidence=int(rows.task.evidence(rows.examples.labels).sum()),
        incumbent=current,
        challengers=ranked,
        winner=winner.name if winner else None,
        verdict=_verdict(winner, current, ranked, training.metric),
    )


def single_row_latency_ms(model: Model, rows: Floats) -> float:
    """Median milliseconds to score one row, over the first 200 of `rows` float64[n, f]; no network, no features."""
    model.predict(rows[:1])
    times = []
    for start in range(min(len(rows), LATENCY_ROWS)):
        started = perf_counter()
        model.predict(rows[start : start + 1])
        times.append(perf_counter() - started)
    return float(np.median(times)) * 1000


def _new_to(incumbent: tuple[str, Model], test: pd.DataFrame, event_time: str, training: Training) -> pd.DataFrame:
    name, model = incumbent
    new = test[model.unseen(test, event_time)]
    task, least = task_for(training.task), training.gates.slice_min_positives
    evidence = int(task.evidence(new[training.label].to_numpy()).sum())
    others = len(new) - evidence
    # Where every row is evidence there are no others.
    too_few = evidence < least or 0 < others < least or len(new) == 0
    if len(new) < len(test) and too_few:
        raise TrainingError(
            f"{name} learned until {model.learned_until}, and may have seen {len(test) - len(new)} of {len(test)} test "
            f"rows; of the others {evidence} are {task.evidence_name}, and slice_min_positives is {least}. "
            "Compare on later rows (a later as_of), or with the split that it was trained with"
        )
    return new


def _require_unseen(models: Mapping[str, Model], test: pd.DataFrame, event_time: str) -> None:
    seen = {name: int((~model.unseen(test, event_time)).sum()) for name, model in models.items()}
    told = [
        f"{name} learned until {models[name].learned_until}, and may have seen {rows} of {len(test)} rows"
        for name, rows in seen.items()
        if rows
    ]
    if told:
        raise TrainingError(
            f"the test rows begin at {test[event_time].min()}, but {'; '.join(told)}; compare on later rows (a later "
            "as_of) or on groups that none has learned from (the split that the model was trained with)"
        )


@dataclass(frozen=True)
class _Rows:
    """The rows all contenders are judged on, and by which rules."""

    test: pd.DataFrame
    examples: Examples
    training: Training
    task: Task

    @classmethod
    def of(cls, test: pd.DataFrame, training: Training, event_time: str) -> Self:
        # Each model encodes the rows itself; what they are judged by is the same for all.
        nothing = np.empty((len(test), 0))
        return cls(test, labelled_examples(test, nothing, training, event_time), training, task_for(training.task))

    def draws(self, answers: Floats, seed: int) -> dict[str, Floats]:
        """Every figure of a model on the same resamples as those of the other models."""
        drawn = self.task.resamples(self.examples, self.training.gates.bootstrap_samples, seed)
        return bootstrap_figures(self.task.figures(self.examples, answers), drawn, self.examples.weights)

    def judge(
        self, name: str, model: Model, answers: Floats, draws: Mapping[str, Floats], gain: Estimate | None, seed: int
    ) -> Contender:
        confidence = self.training.gates.confidence
        figures = {figure: estimate(values, confidence) for figure, values in draws.items()}
        metric = figures[self.training.metric]
        latency = single_row_latency_ms(model, model.matrix(self.test.head(LATENCY_ROWS)))
        slices = self.slices(answers, seed)
        gates = apply_gates(
            self.training.gates,
            self.task,
            metric=(self.training.metric, metric.value),
            calibration_error=self.task.calibration_error(self.examples, answers),
            latency_ms=latency,
            slices=slices,
            gain=gain,
        )
        return Contender(name, metric, figures, latency, slices, gain, gates)

    def slices(self, answers: Floats, seed: int) -> tuple[SliceResult, ...]:
        columns = self.training.gates.slices
        missing = [column for column in columns if column not in self.test.columns]
        if missing:
            raise TrainingError(f"the test rows lack the slice columns {missing}; have {list(self.test.columns)}")
        return tuple(
            self._slice(column, str(group), np.asarray(rows), answers, seed)
            for column in columns
            for group, rows in self.test.groupby(column, dropna=False).indices.items()
        )

    def _slice(self, column: str, group: str, rows: npt.NDArray[np.intp], answers: Floats, seed: int) -> SliceResult:
        part, name = self.examples.at(rows), str(self.training.metric)
        drawn = self.task.resamples(part, self.training.gates.bootstrap_samples, seed)
        figure = {name: self.task.figure(name, part, answers[rows])}
        found = estimate(bootstrap_figures(figure, drawn, part.weights)[name], self.training.gates.confidence)
        evidence = int(self.task.evidence(part.labels).sum())
        return SliceResult(column, group, len(rows), evidence, found.value, found.low, found.high)


def _verdict(winner: Contender | None, incumbent: Contender | None, ranked: Sequence[Contender], metric: str) -> str:
    if winner is not None:
        against = f", difference to {incumbent.name} {winner.gain}" if incumbent else ", the first champion"
        return f"promoted candidate {winner.name}: {metric} {winner.metric}{against}"
    kept = f"kept incumbent {incumbent.name}" if incumbent else "promoted nobody"
    return f"{kept}: {'; '.join(_refusal(each) for each in ranked) or 'there was no challenger'}"


def _refusal(contender: Contender) -> str:
    failed = [f"{g.name} {g.value:.3g} (limit {g.limit:g}: {g.detail})" for g in contender.gates if not g.passed]
    return f"{contender.name} failed {', '.join(failed)}"
