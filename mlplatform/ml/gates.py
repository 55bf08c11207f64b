"""What a model must show before it may serve: each gate as one readable result."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlplatform.ml.bootstrap import Estimate
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
    """The metric on one group of the test rows; NaN where a class is missing."""

    column: str
    group: str
    rows: int
    positives: int
    metric: float


def apply_gates(
    gates: Gates,
    *,
    metric: float,
    calibration_error: float,
    latency_ms: float,
    slices: Sequence[SliceResult],
    gain: Estimate | None,
) -> tuple[GateResult, ...]:
    """All gates of one challenger, in a fixed order. `gain` is its paired difference to the incumbent, if any."""
    return (
        GateResult(
            "metric_floor", metric >= gates.floor, metric, gates.floor, f"{gates.metric} must reach {gates.floor:g}"
        ),
        _against_incumbent(gates, gain),
        GateResult(
            "calibration",
            calibration_error <= gates.max_calibration_error,
            calibration_error,
            gates.max_calibration_error,
            "expected calibration error, 10 equal-mass bins",
        ),
        _weakest_slice(gates, slices),
        GateResult(
            "latency",
            latency_ms <= gates.max_latency_ms,
            latency_ms,
            gates.max_latency_ms,
            "median milliseconds to score one row",
        ),
    )


def _against_incumbent(gates: Gates, gain: Estimate | None) -> GateResult:
    limit = 0.0 if gates.incumbent == "better" else -gates.margin
    if gain is None:
        return GateResult("incumbent", True, 0.0, limit, "there is no incumbent")
    level = f"{gates.confidence:.0%}"
    detail = f"difference to the incumbent on the same rows {gain}, its {level} interval must lie above {limit:g}"
    return GateResult("incumbent", gain.low > limit, gain.low, limit, detail)


def _weakest_slice(gates: Gates, slices: Sequence[SliceResult]) -> GateResult:
    judged = [part for part in slices if _is_judged(gates, part)]
    if not judged:
        return GateResult("slices", True, 1.0, gates.slice_floor, "no slice has enough positives to be judged")
    weakest = min(judged, key=lambda part: part.metric)
    detail = (
        f"weakest of {len(judged)} judged slices: {weakest.column} = {weakest.group}, {weakest.positives} positives"
    )
    return GateResult("slices", weakest.metric >= gates.slice_floor, weakest.metric, gates.slice_floor, detail)


def _is_judged(gates: Gates, part: SliceResult) -> bool:
    return gates.slice_min_positives <= part.positives < part.rows
