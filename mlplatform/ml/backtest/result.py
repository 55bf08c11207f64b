"""What a backtest found: each policy's course, its cost and gain, and the cheapest that keeps most of the gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlplatform.ml.backtest.chance import lower_edge

__all__ = ["KEPT", "Backtest", "EstimateCheck", "PolicyRun", "ReplayedWindow"]

KEPT = 0.95
"""Share of the best policy's gain that the recommended one keeps."""
_SHOWN = 0.0005
"""A gain below this reads 0.000 in the recommendation."""


@dataclass(frozen=True)
class ReplayedWindow:
    """One window as a policy went through it: who answered, how well, and what was decided when it ended."""

    start: pd.Timestamp
    end: pd.Timestamp
    rows: int
    """With a label."""
    value: float
    """The metric on all labels of the window, also those that came later; NaN where there is none."""
    model: pd.Timestamp
    """As of when the model that answered was trained."""
    verdict: str
    """What was decided at its end; empty for the last window."""
    reason: str
    trained: bool = False
    promoted: bool = False
    outcome: str = ""
    """Of the training: the verdict of the comparison, or why there was none."""
    seconds: float = 0.0
    """Of the training and the comparison."""
    estimate: float = float("nan")
    """Of the metric, from the scores alone, as known before a label is there; NaN where scores promise nothing."""
    promised: float = float("nan")
    """What the model that answered reached on its test rows."""
    low: float = float("nan")
    high: float = float("nan")
    """The interval of `value` at `gates.confidence`; NaN where it has none."""
    taken_back: str = ""
    """Why the model that answered gave way, at the end of the window, to the one that it had replaced; else empty."""


@dataclass(frozen=True)
class EstimateCheck:
    """Estimates made before labels were there, beside what came true; all in the unit of the metric."""

    metric: str
    windows: int
    """Pairs of a window and a model that answered it."""
    error: float
    """Mean absolute error of the estimate."""
    bias: float
    """Mean of estimate less truth; above 0: too hopeful."""
    error_of_promise: float
    """Mean absolute error of expecting what the model reached on its test rows, which needs no scores at all."""
    within: float
    """Share of the windows whose measured interval holds the estimate, 0..1."""
    promise_within: float
    """The same of what the model reached on its test rows."""

    def __str__(self) -> str:
        direction = "high" if self.bias > 0 else "low"
        return (
            f"{self.metric} estimated before labels: off by {self.error:.3f} on average ({abs(self.bias):.3f} too "
            f"{direction}), within the measured interval in {self.within:.0%} of {self.windows} windows; what the "
            f"model was promoted by: off by {self.error_of_promise:.3f}, within it in {self.promise_within:.0%}"
        )


@dataclass(frozen=True)
class PolicyRun:
    """One policy through the whole history."""

    policy: str
    delayed: bool
    """True: labels were used when they became known. False: as if they had been known at once."""
    first_seconds: float
    """Of the first training, which all policies share."""
    windows: tuple[ReplayedWindow, ...]

    @property
    def metric(self) -> float:
        """Mean over the windows, weighted by their labelled rows."""
        known = [window for window in self.windows if window.value == window.value]
        rows = sum(window.rows for window in known)
        return sum(window.value * window.rows for window in known) / rows if rows else float("nan")

    @property
    def trainings(self) -> int:
        """How many, with the first one."""
        return 1 + sum(window.trained for window in self.windows)

    @property
    def promotions(self) -> int:
        """How many trainings after the first changed the model."""
        return sum(window.promoted for window in self.windows)

    @property
    def rollbacks(self) -> int:
        """How many promotions were taken back."""
        return sum(bool(window.taken_back) for window in self.windows)

    @property
    def seconds(self) -> float:
        """Of all trainings, with the first one."""
        return self.first_seconds + sum(window.seconds for window in self.windows)


@dataclass(frozen=True)
class Backtest:
    """All policies, with and without label delay, in the order in which they were named."""

    use_case: str
    metric: str
    runs: tuple[PolicyRun, ...]

    def of(self, delayed: bool) -> dict[str, PolicyRun]:
        """By the policy's name."""
        return {run.policy: run for run in self.runs if run.delayed == delayed}

    def gain(self, policy: str, delayed: bool = True) -> float:
        """Of the metric, over never training again."""
        runs = self.of(delayed)
        return runs[policy].metric - runs["never"].metric

    def best(self, delayed: bool = True) -> PolicyRun:
        """The policy of the highest metric; of equals the cheapest."""
        return max(self.of(delayed).values(), key=lambda run: (run.metric, -run.trainings, -run.seconds))

    def cost(self, policy: str, delayed: bool = True) -> float:
        """Share of the best policy's trainings."""
        return self.of(delayed)[policy].trainings / self.best(delayed).trainings

    def gained(self, policy: str, delayed: bool = True) -> bool:
        """Whether the gain is more than chance explains, and more than nothing as it is shown.

        Chance: the gain window by window against `never` on the same rows, over the windows in which another model
        answered (in the others the two cannot differ). Its lower edge, one-sided at 95 % by Student's t, must be above
        0. Pairs, and not the intervals of the values: what makes a week hard does so for both, and would hide a gain.
        With one such window nothing can be said, and nothing is claimed.
        """
        if not self.gain(policy, delayed) >= _SHOWN:
            return False
        runs = self.of(delayed)
        pairs = zip(runs[policy].windows, runs["never"].windows, strict=True)
        told = np.array([(mine.value - first.value, mine.rows) for mine, first in pairs]).reshape(-1, 2)
        # Not a number where a window has no figure.
        return lower_edge(told[np.isfinite(told[:, 0]) & (told[:, 0] != 0)]) > 0

    def best_gained(self, delayed: bool = True) -> PolicyRun | None:
        """The policy of the largest gain that is more than chance; None where no policy has one."""
        runs = [run for name, run in self.of(delayed).items() if self.gained(name, delayed)]
        return max(runs, key=lambda run: (run.metric, -run.trainings, -run.seconds), default=None)

    def recommended(self, delayed: bool = True) -> PolicyRun:
        """The cheapest policy that keeps 95 % of the largest gain, of those that gained by more than chance or what
        three decimals show (see `gained`: a training costs for sure); `never` where none did."""
        runs, best = self.of(delayed), self.best_gained(delayed)
        if best is None:
            return runs["never"]
        least = KEPT * self.gain(best.policy, delayed)
        enough = [run for name, run in runs.items() if self.gained(name, delayed) and self.gain(name, delayed) >= least]
        return min(enough, key=lambda run: (run.trainings, run.seconds, -run.metric))

    @property
    def estimates(self) -> "EstimateCheck | None":
        """How the estimates came out, on every window and every model that answered it, labels as they come."""
        answered = {(w.start, w.model): w for run in self.of(delayed=True).values() for w in run.windows}
        known = [w for w in answered.values() if np.isfinite([w.estimate, w.value, w.promised]).all()]
        if not known:
            return None
        off = np.array([w.estimate - w.value for w in known])
        naive = np.array([w.promised - w.value for w in known])
        within, promise_within = (
            np.mean([w.low <= said <= w.high for w, said in zip(known, figures, strict=True)])
            for figures in ([w.estimate for w in known], [w.promised for w in known])
        )
        return EstimateCheck(
            metric=self.metric,
            windows=len(known),
            error=float(abs(off).mean()),
            bias=float(off.mean()),
            error_of_promise=float(abs(naive).mean()),
            within=float(within),
            promise_within=float(promise_within),
        )

    @property
    def recommendation(self) -> str:
        """One sentence."""
        chosen, best, windows = self.recommended(), self.best_gained(), len(self.runs[0].windows)
        if best is None:
            return (
                f"never: in these {windows} windows no policy had a better {self.metric} than the first model by more "
                f"than chance; the largest gain was {self.gain(self.best().policy):.3f}."
            )
        gain = f"gain of {self.gain(best.policy):.3f} {self.metric} over never"
        cost = f"{chosen.trainings} trainings ({chosen.seconds:.0f} s)"
        if chosen.policy == best.policy:
            return f"{chosen.policy}: the largest {gain}, and no cheaper policy keeps {KEPT:.0%} of it; {cost}."
        kept = self.gain(chosen.policy) / self.gain(best.policy)
        instead = f"instead of {best.trainings} ({best.seconds:.0f} s)"
        return f"{chosen.policy}: keeps {kept:.0%} of {best.policy}'s {gain}, with {cost} {instead}."

    def summary(self) -> list[dict[str, Any]]:
        """One row per policy and label delay."""
        return [
            {
                "policy": run.policy,
                "labels": "as they come" if run.delayed else "at once",
                self.metric: round(run.metric, 4),
                "gain": round(self.gain(run.policy, run.delayed), 4),
                "trainings": run.trainings,
                "promotions": run.promotions,
                "rollbacks": run.rollbacks,
                "seconds": round(run.seconds, 1),
            }
            for run in self.runs
        ]

    def frame(self) -> pd.DataFrame:
        """One row per policy, label delay and window, as the lake keeps it."""
        return pd.DataFrame([row for run in self.runs for row in _rows(run, self.metric)])


def _rows(run: PolicyRun, metric: str) -> Sequence[dict[str, Any]]:
    return [
        {
            "policy": run.policy,
            "labels_delayed": run.delayed,
            "window_start": window.start,
            "window_end": window.end,
            "rows": window.rows,
            "metric": metric,
            "value": window.value,
            "model_as_of": window.model,
            "verdict": window.verdict,
            "reason": window.reason,
            "trained": window.trained,
            "promoted": window.promoted,
            "outcome": window.outcome,
            "seconds": window.seconds,
            "estimate": window.estimate,
            "promised": window.promised,
            "low": window.low,
            "high": window.high,
            "taken_back": window.taken_back,
        }
        for window in run.windows
    ]
