"""What a model must show before it may serve: each gate as one readable result."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlplatform.ml.bootstrap import Estimate
from mlplatform.ml.tasks import Task
from mlplatform.spec.training import Gates

__all__ = ["GateResult", "SliceResult", "apply_gates"]


@dataclass(frozen=True)
class GateResult:
    """One gate of one model: `value` against `limit`, and a sentence for a person."""

    name: str
    passed: bool
    value: float
    limit: float
    detail: str


@dataclass(frozen=True)
class SliceResult:
    """The metric on one group of the test rows; NaN where it cannot be had, such as where a class is missing."""

    column: str
    group: str
    rows: int
    evidence: int
    """Rows that carry it: positives, or all of a forecast."""
    metric: float
    low: float
    high: float
    """Of its bootstrap interval."""


def apply_gates(
    gates: Gates,
    task: Task,
    *,
    metric: tuple[str, float],
    calibration_error: float | None,
    latency_ms: float,
    slices: Sequence[SliceResult],
    gain: Estimate | None,
) -> tuple[GateResult, ...]:
    """All gates of one challenger, in a fixed order.

    `metric`: its name and value. `calibration_error`: None where the task has none, and then no such gate. `gain`: the
    paired difference to the incumbent, if any.
    """
    name, value = metric
    results = [
        GateResult("metric_floor", value >= gates.floor, value, gates.floor, f"{name} must reach {gates.floor:g}"),
        _against_incumbent(gates, gain),
        _weakest_slice(gates, task, slices),
        GateResult(
            "latency",
            latency_ms <= gates.max_latency_ms,
            latency_ms,
            gates.max_latency_ms,
            "median milliseconds to score one row",
        ),
    ]
    if calibration_error is not None:
        limit = gates.max_calibration_error
        detail = str(task.calibration_name)
        results.insert(2, GateResult("calibration", calibration_error <= limit, calibration_error, limit, detail))
    return tuple(results)


def _against_incumbent(gates: Gates, gain: Estimate | None) -> GateResult:
    limit = 0.0 if gates.incumbent == "better" else -gates.margin
    if gain is None:
        return GateResult("incumbent", True, 0.0, limit, "there is no incumbent to compare with")
    level = f"{gates.confidence:.0%}"
    detail = f"difference to the incumbent on the same rows {gain}, its {level} interval must lie above {limit:g}"
    return GateResult("incumbent", gain.low > limit, gain.low, limit, detail)


def _weakest_slice(gates: Gates, task: Task, slices: Sequence[SliceResult]) -> GateResult:
    judged = [part for part in slices if _is_judged(gates, part)]
    if not judged:
        return GateResult(
            "slices", True, 1.0, gates.slice_floor, f"no slice has enough {task.evidence_name} to be judged"
        )
    weakest = min(judged, key=lambda part: part.metric)
    told = f"{weakest.column} = {weakest.group}, {weakest.evidence} {task.evidence_name}"
    detail = f"weakest of {len(judged)} judged slices: {told}"
    return GateResult("slices", weakest.metric >= gates.slice_floor, weakest.metric, gates.slice_floor, detail)


def _is_judged(gates: Gates, part: SliceResult) -> bool:
    return part.evidence >= gates.slice_min_positives and math.isfinite(part.metric)
