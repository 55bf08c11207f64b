"""What a policy asks for, beside what there is: the evidence of a decision as rows for a picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from mlplatform.ml.decision import Decision
from mlplatform.spec.policy import AnyPolicy, DriftSignal, PerformanceSignal, Policy

__all__ = ["Demand", "demands"]

_POLICY: TypeAdapter[AnyPolicy] = TypeAdapter(Policy)


@dataclass(frozen=True)
class Demand:
    """One thing that was weighed: it speaks for a training when `value` reaches `limit`."""

    name: str
    value: float
    limit: float
    text: str
    """Both as people read them."""


def demands(decision: Decision) -> list[Demand]:
    """In the order in which they are weighed; the evidence must name a champion."""
    return list(_demands(decision.evidence))


def _demands(found: dict[str, Any]) -> Iterator[Demand]:
    policy = _POLICY.validate_python(found["policy"])
    if policy.on_performance:
        yield from _performance(found["performance"], policy.on_performance)
    if policy.on_drift:
        yield from _drift(found["windows"], policy.on_drift)
    days = (pd.Timestamp(found["as_of"]) - pd.Timestamp(found["trained_at"])) / pd.Timedelta(days=1)
    if policy.largest_age_days is not None:
        limit = policy.largest_age_days
        yield Demand("age of the last training, days", days, limit, f"{days:.1f} of {limit:g}")
    rows, least = found["new_labelled_rows"], policy.min_new_labelled_rows
    yield Demand("new labelled rows", rows, least, f"{rows:,} of {least:,}")
    cool = policy.cool_down_days
    yield Demand("cool-down, days", days, cool, f"{days:.1f} of {cool:g}")


def _drift(windows: list[dict[str, Any]], asked: DriftSignal) -> Iterator[Demand]:
    share = windows[-1]["importance_share"] if windows else 0.0
    count, least = sum(bool(window["speaks"]) for window in windows), asked.min_drift_importance
    yield Demand("drifted importance, latest window", share, least, f"{share:.0%} of {least:.0%}")
    yield Demand("windows in drift", count, asked.windows_required, f"{count} of {asked.windows_required}")


def _performance(windows: list[dict[str, Any]], asked: PerformanceSignal) -> Iterator[Demand]:
    name = "drop of the metric beyond chance"
    if not windows:
        yield Demand(name, 0.0, 1.0, "no mature window")
    else:
        last = windows[-1]
        allowed = last["expected"] - asked.limit(last["expected"])
        drop = last["expected"] - last["high"]
        yield Demand(name, drop, allowed, f"{max(drop, 0.0):.3f} of {allowed:.3f}")
    count = sum(bool(window["below"]) for window in windows)
    yield Demand("windows below", count, asked.windows_required, f"{count} of {asked.windows_required}")
