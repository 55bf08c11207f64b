"""Retrain, wait, or blocked: from evidence to one readable verdict."""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from mlplatform.ml.performance import PerformanceWindow
from mlplatform.ml.signals import (
    Signal,
    WindowEvidence,
    age_signal,
    drift_signal,
    harmless_until,
    judged_windows,
    latest,
    performance_signal,
)
from mlplatform.spec.policy import AnyPolicy

__all__ = ["Champion", "Decision", "WindowEvidence", "decide"]


@dataclass(frozen=True)
class Champion:
    """The serving model as far as a decision needs it."""

    version: str
    trained_at: pd.Timestamp
    """Logical time of the latest training, promoted or refused: cool-down and age count from here."""
    training_seconds: float
    """How long that training took."""


@dataclass(frozen=True)
class Decision:
    """`reason` is one sentence with the numbers; `decision_id` is the same whenever the same facts are judged."""

    verdict: Literal["retrain", "wait", "blocked"]
    reason: str
    evidence: dict[str, Any]
    """JSON: no NaN, times as ISO text."""
    decision_id: str
    window: tuple[pd.Timestamp, pd.Timestamp]
    """Start and end of the window that decided; without one, the moment of the decision twice."""


@dataclass(frozen=True)
class _Facts:
    """All that is weighed."""

    policy: AnyPolicy
    as_of: pd.Timestamp
    champion: Champion | None
    new_rows: int
    drift: list[WindowEvidence]
    performance: list[PerformanceWindow]
    signals: tuple[Signal, ...]
    acted: bool


def decide(
    use_case: str,
    windows: Sequence[WindowEvidence],
    policy: AnyPolicy,
    *,
    as_of: pd.Timestamp,
    champion: Champion | None,
    new_labelled_rows: int,
    performance: Sequence[PerformanceWindow] = (),
    acted_on: Collection[str] = (),
    paused_until: pd.Timestamp | None = None,
    pause_reason: str = "",
) -> Decision:
    """Weigh the latest windows against a policy.

    `windows` (drift) and `performance` in any order; those after `as_of` are ignored, and so is performance that is
    not mature or of another model than `champion`. `new_labelled_rows` are rows whose label became known since the
    champion's training set was frozen. `acted_on` holds the ids of decisions that have already led to a training, so
    that one piece of evidence trains once. `paused_until`: Timestamp.max where only a release ends the pause.

    Blocked means: it would retrain, but the expected time exceeds the budget; or retraining is paused, whatever the
    evidence says.
    """
    version = champion.version if champion else ""
    drift = latest(windows, policy.on_drift.windows, as_of) if policy.on_drift else []
    mature = judged_windows(performance, version) if policy.on_performance else []
    served = latest(mature, policy.on_performance.windows, as_of) if policy.on_performance else []
    signals = _signals(policy, drift, served, champion, as_of)
    identity = _identity(use_case, signals, champion, as_of)
    facts = _Facts(policy, as_of, champion, new_labelled_rows, drift, served, signals, identity in acted_on)
    verdict, reason = _judge(facts)
    if paused_until is not None and as_of < paused_until:
        told = f" ({pause_reason})" if pause_reason else ""
        end = "it is released" if paused_until == pd.Timestamp.max else f"{paused_until:%Y-%m-%d %H:%M}"
        reason = f"paused until {end}{told}; else: {verdict}: {reason}"
        verdict = "blocked"
    return Decision(verdict, reason, _evidence(facts, paused_until), identity, _window(facts))


Verdict = tuple[Literal["retrain", "wait", "blocked"], str]


def _signals(
    policy: AnyPolicy,
    drift: Sequence[WindowEvidence],
    served: Sequence[PerformanceWindow],
    champion: Champion | None,
    as_of: pd.Timestamp,
) -> tuple[Signal, ...]:
    """What the policy asks for, the most telling first: performance is what counts, drift may be harmless."""
    found = []
    if policy.on_performance:
        found.append(performance_signal(served, policy.on_performance))
    if policy.on_drift:
        overruling = policy.on_performance if policy.overrules_drift else None
        harmless = harmless_until(served, overruling) if overruling else None
        found.append(drift_signal(drift, policy.on_drift, harmless))
    if policy.largest_age_days is not None and champion is not None:
        found.append(age_signal(champion.trained_at, as_of, policy.largest_age_days))
    return tuple(found)


def _judge(facts: _Facts) -> Verdict:
    policy, champion = facts.policy, facts.champion
    if policy.kind == "never":
        return "wait", "the policy is never to retrain"
    if champion is None:
        return "wait", "there is no champion yet: train one first"
    speaking = [signal for signal in facts.signals if signal.speaks]
    if not speaking:
        return "wait", "; ".join(signal.reason for signal in facts.signals)
    ground = "; ".join(signal.reason for signal in speaking)
    if facts.new_rows < policy.min_new_labelled_rows:
        least = policy.min_new_labelled_rows
        return "wait", f"{ground}, but only {facts.new_rows:,} new labelled rows, {least:,} are required"
    if facts.acted:
        return "wait", f"{ground}, but the window that ended {_window(facts)[1]:%Y-%m-%d} has already led to a training"
    until = champion.trained_at + pd.Timedelta(days=policy.cool_down_days)
    if facts.as_of < until:
        days = f"{policy.cool_down_days:g} days after a training"
        return "wait", f"{ground}, but cooling down until {until:%Y-%m-%d %H:%M} ({days})"
    ground = f"{ground}, {facts.new_rows:,} new labelled rows"
    if champion.training_seconds > policy.budget_seconds:
        took = f"the last training took {champion.training_seconds:.0f} s"
        return "blocked", f"{ground}; but {took} and budget_seconds is {policy.budget_seconds:g}"
    return "retrain", ground


def _window(facts: _Facts) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Of the first signal that speaks, else of the first that looked at one."""
    looked = [(signal.speaks, signal.window) for signal in facts.signals if signal.window is not None]
    chosen = next((window for speaks, window in looked if speaks), None) or next((w for _, w in looked), None)
    return chosen or (facts.as_of, facts.as_of)


def _identity(use_case: str, signals: Sequence[Signal], champion: Champion | None, as_of: pd.Timestamp) -> str:
    """Of the windows that speak, else of all that were looked at: an old window beside a new one that says nothing
    is no new evidence. A policy that looks at no window judges the moment itself."""
    speaking = [signal for signal in signals if signal.speaks] or signals
    ends = [f"{signal.name} {signal.window[1].isoformat()}" for signal in speaking if signal.window is not None]
    version = champion.version if champion else "none"
    return hashlib.sha256("|".join([use_case, *(ends or [as_of.isoformat()]), version]).encode()).hexdigest()[:16]


def _evidence(facts: _Facts, paused_until: pd.Timestamp | None) -> dict[str, Any]:
    champion, hits = facts.champion, {signal.name: signal.hits for signal in facts.signals}
    return {
        "as_of": facts.as_of.isoformat(),
        "policy": facts.policy.model_dump(mode="json"),
        "champion": champion.version if champion else None,
        "trained_at": champion.trained_at.isoformat() if champion else None,
        "training_seconds": champion.training_seconds if champion else None,
        "new_labelled_rows": facts.new_rows,
        "paused_until": paused_until.isoformat() if paused_until is not None else None,
        "signals": [{"name": s.name, "speaks": s.speaks, "reason": s.reason} for s in facts.signals],
        "windows": [
            {
                "start": window.start.isoformat(),
                "end": window.end.isoformat(),
                "enough_rows": window.enough_rows,
                "importance_share": round(window.importance_share, 4),
                "drifted_columns": list(window.drifted_columns),
                "speaks": hit,
            }
            for window, hit in zip(facts.drift, hits.get("drift", ()), strict=True)
        ],
        "performance": [
            {
                "start": window.start.isoformat(),
                "end": window.end.isoformat(),
                "metric": window.metric,
                **{name: _finite(getattr(window, name)) for name in ("value", "low", "high", "expected")},
                "labelled": window.labelled,
                "coverage": round(window.coverage, 4),
                "below": hit,
            }
            for window, hit in zip(facts.performance, hits.get("performance", ()), strict=True)
        ],
    }


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
