"""What speaks for a training: drift, performance, age. Each signal says its numbers, whether it speaks or not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import pandas as pd

from mlplatform.ml.performance import PerformanceWindow
from mlplatform.spec.policy import DriftSignal, PerformanceSignal

__all__ = [
    "Signal",
    "WindowEvidence",
    "age_signal",
    "drift_signal",
    "harmless_until",
    "judged_windows",
    "latest",
    "performance_signal",
]


@dataclass(frozen=True)
class WindowEvidence:
    """The drift of one window, as the drift report measured it."""

    start: pd.Timestamp
    end: pd.Timestamp
    enough_rows: bool
    importance_share: float
    """Share of the model's importance in drifted columns, 0..1."""
    drifted_columns: tuple[str, ...] = ()
    prediction_drifted: bool = False
    """Whether the model's answers drifted."""
    prediction_effect: float | None = None
    """Their Kolmogorov-Smirnov distance from the answers to the reference rows; None where it was not measured."""


@dataclass(frozen=True)
class Signal:
    """One kind of evidence, weighed."""

    name: Literal["drift", "performance", "age"]
    speaks: bool
    """For a training."""
    reason: str
    """One clause with the numbers: what speaks, or what is missing."""
    hits: tuple[bool, ...] = ()
    """Of each window that was looked at, oldest first: whether it speaks."""
    window: tuple[pd.Timestamp, pd.Timestamp] | None = None
    """Start and end of the latest window that was looked at."""


W = TypeVar("W", WindowEvidence, PerformanceWindow)


def latest(windows: Sequence[W], count: int, as_of: pd.Timestamp) -> list[W]:
    """The last `count` windows that have ended at `as_of`, oldest first."""
    return sorted((w for w in windows if w.end <= as_of), key=lambda w: w.end)[-count:]


def judged_windows(windows: Sequence[PerformanceWindow], version: str) -> list[PerformanceWindow]:
    """Those that may speak: mature, of this model, with a figure and something to compare it with."""
    return [
        window
        for window in windows
        if window.state == "mature"
        and window.model_version == version
        and math.isfinite(window.high)
        and math.isfinite(window.expected)
    ]


def drift_signal(known: Sequence[WindowEvidence], asked: DriftSignal, harmless: pd.Timestamp | None = None) -> Signal:
    """`known`: the M latest windows, oldest first. Drift of windows that end until `harmless` does not count."""
    if not known:
        return Signal("drift", False, "no window has been measured yet")
    heavy = [w.enough_rows and w.importance_share >= asked.min_drift_importance for w in known]
    silenced = [harmless is not None and w.end <= harmless for w in known]
    hits = tuple(drifted and not silent for drifted, silent in zip(heavy, silenced, strict=True))
    last = known[-1]
    told = f"{last.importance_share:.0%} of the importance drifted in the window that ended {last.end:%Y-%m-%d}"
    if not last.enough_rows:
        told = f"too few rows for a verdict on drift in the window that ended {last.end:%Y-%m-%d}"
    elif not heavy[-1]:
        told += f", below min_drift_importance {asked.min_drift_importance:.0%}"
    elif not _speaks(hits, asked.windows_required) and _speaks(heavy, asked.windows_required):
        told += f", {sum(heavy)} of {len(heavy)} windows in drift, but labels until {harmless:%Y-%m-%d} show no drop"
    else:
        told += _counted(hits, asked.windows_required, "in drift")
    return Signal("drift", _speaks(hits, asked.windows_required), told, hits, (last.start, last.end))


def harmless_until(known: Sequence[PerformanceWindow], asked: PerformanceSignal) -> pd.Timestamp | None:
    """The end of the latest mature window, if that one is not below; None: labels speak no drift harmless."""
    if not known or known[-1].high < asked.limit(known[-1].expected):
        return None
    return known[-1].end


def performance_signal(known: Sequence[PerformanceWindow], asked: PerformanceSignal) -> Signal:
    """`known`: the M latest windows that may be judged, oldest first.

    A window is below when the upper edge of its interval is: chance alone does not put it there.
    """
    if not known:
        return Signal("performance", False, "no mature window of served predictions has been measured yet")
    hits = tuple(w.high < asked.limit(w.expected) for w in known)
    last = known[-1]
    limit = asked.limit(last.expected)
    told = (
        f"{last.metric} {last.value:.3f} [{last.low:.3f}, {last.high:.3f}] in the window that ended "
        f"{last.end:%Y-%m-%d}, expected {last.expected:.3f}"
    )
    if hits[-1]:
        told += f" and at least {limit:.3f}{_counted(hits, asked.windows_required, 'below')}"
    elif last.value < limit:
        told += f": below {limit:.3f}, but not beyond chance"
    else:
        told += f": no drop below {limit:.3f}"
    return Signal("performance", _speaks(hits, asked.windows_required), told, hits, (last.start, last.end))


def age_signal(trained_at: pd.Timestamp, as_of: pd.Timestamp, days: float) -> Signal:
    """Due when `days` have passed since the last training."""
    age = (as_of - trained_at) / pd.Timedelta(days=1)
    due = age >= days
    told = f"the last training was {age:.1f} days ago, due after {days:g}"
    return Signal("age", due, told, (due,), (trained_at, as_of))


def _speaks(hits: Sequence[bool], required: int) -> bool:
    return bool(hits) and hits[-1] and sum(hits) >= required


def _counted(hits: Sequence[bool], required: int, said: str) -> str:
    if sum(hits) >= required:
        return f", {sum(hits)} of {len(hits)} windows {said}"
    return f", but only {sum(hits)} of {len(hits)} windows {said}, {required} are required"
