"""Champion and challengers on the same rows that none of them has seen, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import Estimate, bootstrap_metric, difference, estimate
from mlplatform.ml.examples import row_groups, row_weights
from mlplatform.ml.gates import GateResult, SliceResult, apply_gates
from mlplatform.ml.metrics import (
    Floats,
    Labels,
    brier,
    expected_calibration_error,
    expected_cost,
    rank,
    ranking_metric,
)
from mlplatform.ml.model import Model
from mlplatform.spec.training import Costs, Gates

__all__ = ["Comparison", "Contender", "compare", "single_row_latency_ms"]

LATENCY_ROWS = 200


@dataclass(frozen=True)
class Contender:
    """One model on the test rows. `gain` and `gates` are empty for the incumbent."""

    name: str
    metric: Estimate
    """The gates' metric with its interval."""
    auc: float
    average_precision: float
    brier: float
    calibration_error: float
    cost: float
    """Mean per row at the model's own threshold, in the unit of the declared costs."""
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
    positives: int
    incumbent: Contender | None
    challengers: tuple[Contender, ...]
    """Best first."""
    winner: str | None
    verdict: str


def compare(
    challengers: Mapping[str, Model],
    incumbent: tuple[str, Model] | None,
    test: pd.DataFrame,
    *,
    label: str,
    event_time: str,
    gates: Gates,
    costs: Costs,
    weight: str | None = None,
    group: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Judge every model on the same labelled rows and pick the best challenger that passes all gates.

    `incumbent` is (name, model). `test` holds features, label (0/1), event time, the slice columns, the column
    `weight` (how many examples a row stands for) and `group` (rows that the bootstrap draws together), if any.

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
        test = _new_to(incumbent, test, event_time, label, gates)
    rows = _Rows(test, test[label].to_numpy(dtype=np.int64), row_weights(test, weight), gates, costs)
    scores = {name: model.predict(model.matrix(test)) for name, model in models.items()}
    drawn_together = row_groups(test, group)
    draws = bootstrap_metric(
        rows.labels, scores, gates.metric, gates.bootstrap_samples, seed, rows.weights, drawn_together
    )
    against = incumbent[0] if incumbent else None

    def contender(name: str, against: str | None) -> Contender:
        gain = difference(draws[name], draws[against], gates.confidence) if against else None
        return rows.judge(name, models[name], scores[name], estimate(draws[name], gates.confidence), gain)

    judged = [contender(name, against) for name in challengers]
    ranked = tuple(sorted(judged, key=lambda each: -each.metric.value))
    current = contender(against, None) if against else None
    winner = next((each for each in ranked if each.passed), None)
    return Comparison(
        metric=gates.metric,
        rows=len(test),
        positives=int(rows.labels.sum()),
        incumbent=current,
        challengers=ranked,
        winner=winner.name if winner else None,
        verdict=_verdict(winner, current, ranked, gates),
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


def _new_to(
    incumbent: tuple[str, Model], test: pd.DataFrame, event_time: str, label: str, gates: Gates
) -> pd.DataFrame:
    name, model = incumbent
    new = test[model.unseen(test, event_time)]
    positives = int(new[label].sum())
    if len(new) < len(test) and min(positives, len(new) - positives) < gates.slice_min_positives:
        raise TrainingError(
            f"{name} learned until {model.learned_until}, and may have seen {len(test) - len(new)} of {len(test)} test "
            f"rows; of the others {positives} are positive, and slice_min_positives is {gates.slice_min_positives}. "
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
    labels: Labels
    weights: Floats | None
    gates: Gates
    costs: Costs

    def judge(self, name: str, model: Model, scores: Floats, metric: Estimate, gain: Estimate | None) -> Contender:
        error = expected_calibration_error(self.labels, scores, weights=self.weights)
        ranking = rank(self.labels, scores)
        latency = single_row_latency_ms(model, model.matrix(self.test.head(LATENCY_ROWS)))
        slices = self.slices(scores)
        return Contender(
            name=name,
            metric=metric,
            auc=ranking_metric("auc", ranking, self.weights),
            average_precision=ranking_metric("average_precision", ranking, self.weights),
            brier=brier(self.labels, scores, self.weights),
            calibration_error=error,
            cost=expected_cost(self.labels, scores, model.threshold, self.costs, self.weights),
            latency_ms=latency,
            slices=slices,
            gain=gain,
            gates=apply_gates(
                self.gates, metric=metric.value, calibration_error=error, latency_ms=latency, slices=slices, gain=gain
            ),
        )

    def slices(self, scores: Floats) -> tuple[SliceResult, ...]:
        missing = [column for column in self.gates.slices if column not in self.test.columns]
        if missing:
            raise TrainingError(f"the test rows lack the slice columns {missing}; have {list(self.test.columns)}")
        return tuple(
            self._slice(column, str(group), np.asarray(rows), scores)
            for column in self.gates.slices
            for group, rows in self.test.groupby(column, dropna=False).indices.items()
        )

    def _slice(self, column: str, group: str, rows: npt.NDArray[np.intp], scores: Floats) -> SliceResult:
        labels = self.labels[rows]
        weights = None if self.weights is None else self.weights[rows]
        metric = ranking_metric(self.gates.metric, rank(labels, scores[rows]), weights)
        return SliceResult(column, group, len(rows), int(labels.sum()), metric)


def _verdict(winner: Contender | None, incumbent: Contender | None, ranked: Sequence[Contender], gates: Gates) -> str:
    if winner is not None:
        against = f", difference to {incumbent.name} {winner.gain}" if incumbent else ", the first champion"
        return f"promoted candidate {winner.name}: {gates.metric} {winner.metric}{against}"
    kept = f"kept incumbent {incumbent.name}" if incumbent else "promoted nobody"
    return f"{kept}: {'; '.join(_refusal(each) for each in ranked) or 'there was no challenger'}"


def _refusal(contender: Contender) -> str:
    failed = [f"{g.name} {g.value:.3g} (limit {g.limit:g}: {g.detail})" for g in contender.gates if not g.passed]
    return f"{contender.name} failed {', '.join(failed)}"
