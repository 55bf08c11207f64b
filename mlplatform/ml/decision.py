"""Retrain, wait, or blocked: from drift evidence to one readable verdict."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from mlplatform.spec.policy import Policy

__all__ = ["Champion", "Decision", "WindowEvidence", "decide"]


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
class Champion:
    """The serving model as far as a decision needs it."""

    version: str
    trained_at: pd.Timestamp
    """Logical time of the latest training, promoted or refused: cool-down counts from here."""
    training_seconds: float
    """How long that training took."""


@dataclass(frozen=True)
class Decision:
    """`reason` is one sentence with the numbers; `decision_id` is the same whenever the same facts are judged."""

    verdict: Literal["retrain", "wait", "blocked"]
    reason: str
    evidence: dict[str, Any]
    decision_id: str


def decide(
    use_case: str,
    windows: Sequence[WindowEvidence],
    policy: Policy,
    *,
    as_of: pd.Timestamp,
    champion: Champion | None,
    new_labelled_rows: int,
    acted_on: Collection[str] = (),
) -> Decision:
    """Weigh the latest windows against a policy.

    `windows` in any order; those after `as_of` are ignored. `new_labelled_rows` are rows whose label became
    known since the champion's training set was frozen. `acted_on` holds the ids of decisions that have already
    led to a training, so that one piece of evidence trains once. Blocked means: it would retrain, but the
    expected time exceeds the budget.
    """
    known = sorted((w for w in windows if w.end <= as_of), key=lambda w: w.end)[-policy.windows :]
    in_drift = [w.enough_rows and w.importance_share >= policy.min_drift_importance for w in known]
    decision_id = _identity(use_case, known, champion)
    verdict, reason = _judge(policy, known, in_drift, as_of, champion, new_labelled_rows, decision_id in acted_on)
    return Decision(verdict, reason, _evidence(known, in_drift, as_of, champion, new_labelled_rows), decision_id)


Verdict = tuple[Literal["retrain", "wait", "blocked"], str]


def _judge(
    policy: Policy,
    known: Sequence[WindowEvidence],
    in_drift: Sequence[bool],
    as_of: pd.Timestamp,
    champion: Champion | None,
    new_rows: int,
    acted: bool,
) -> Verdict:
    if policy.kind == "never":
        return "wait", "the policy is never to retrain"
    if champion is None:
        return "wait", "there is no champion yet: train one first"
    if not known:
        return "wait", "no window has been measured yet"
    obstacle = _too_little_drift(policy, known, in_drift) or _nothing_to_learn(policy, new_rows)
    if obstacle is None and acted:
        obstacle = f"the window that ended {known[-1].end:%Y-%m-%d} has already led to a training"
    obstacle = obstacle or _cooling_down(policy, champion, as_of)
    if obstacle is not None:
        return "wait", obstacle
    ground = f"{_share(known[-1])}, {sum(in_drift)} of {len(known)} windows in drift, {new_rows:,} new labelled rows"
    if champion.training_seconds > policy.budget_seconds:
        return "blocked", (
            f"{ground}; but the last training took {champion.training_seconds:.0f} s and "
            f"budget_seconds is {policy.budget_seconds:g}"
        )
    return "retrain", ground


def _too_little_drift(policy: Policy, known: Sequence[WindowEvidence], in_drift: Sequence[bool]) -> str | None:
    if not known[-1].enough_rows:
        return f"too few rows for a verdict in the window that ended {known[-1].end:%Y-%m-%d}"
    if not in_drift[-1]:
        return f"{_share(known[-1])}, below min_drift_importance {policy.min_drift_importance:.0%}"
    if sum(in_drift) < policy.windows_required:
        count = f"only {sum(in_drift)} of {len(known)} windows in drift, {policy.windows_required} are required"
        return f"{_share(known[-1])}, but {count}"
    return None


def _nothing_to_learn(policy: Policy, new_rows: int) -> str | None:
    if new_rows >= policy.min_new_labelled_rows:
        return None
    return f"drift, but only {new_rows:,} new labelled rows, {policy.min_new_labelled_rows:,} are required"


def _cooling_down(policy: Policy, champion: Champion, as_of: pd.Timestamp) -> str | None:
    until = champion.trained_at + pd.Timedelta(days=policy.cool_down_days)
    if as_of >= until:
        return None
    return f"drift, but cooling down until {until:%Y-%m-%d %H:%M} ({policy.cool_down_days:g} days after a training)"


def _share(window: WindowEvidence) -> str:
    return f"{window.importance_share:.0%} of the importance drifted in the window that ended {window.end:%Y-%m-%d}"


def _identity(use_case: str, known: Sequence[WindowEvidence], champion: Champion | None) -> str:
    end = known[-1].end.isoformat() if known else "none"
    version = champion.version if champion else "none"
    return hashlib.sha256(f"{use_case}|{end}|{version}".encode()).hexdigest()[:16]


def _evidence(
    known: Sequence[WindowEvidence],
    in_drift: Sequence[bool],
    as_of: pd.Timestamp,
    champion: Champion | None,
    new_rows: int,
) -> dict[str, Any]:
    return {
        "as_of": as_of.isoformat(),
        "champion": champion.version if champion else None,
        "trained_at": champion.trained_at.isoformat() if champion else None,
        "training_seconds": champion.training_seconds if champion else None,
        "new_labelled_rows": new_rows,
        "windows": [
            {
                "start": window.start.isoformat(),
                "end": window.end.isoformat(),
                "enough_rows": window.enough_rows,
                "importance_share": round(window.importance_share, 4),
                "drifted_columns": list(window.drifted_columns),
                "in_drift": drifted,
            }
            for window, drifted in zip(known, in_drift, strict=True)
        ],
    }
