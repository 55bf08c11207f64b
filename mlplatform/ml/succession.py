"""Is the new champion worse than the one before it, on the same served examples?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlplatform.ml.bootstrap import Estimate
from mlplatform.ml.challenge import PairedDifference, paired_difference
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks import task_for
from mlplatform.spec.performance import Performance
from mlplatform.spec.rollback import Rollback
from mlplatform.spec.training import Training

__all__ = ["MOST_ROWS", "Look", "Succession", "compare_successor"]

MOST_ROWS = 50_000
"""Served examples that two models are compared on; more are sampled."""
_GUARD_ERRORS = 3.0
_DRAWS = 100


@dataclass(frozen=True)
class Look:
    """One comparison among those of a champion's fresh days, by how many of these days were over, 0..1: at the one
    before it that tested something (0: there was none), and now."""

    before: float
    now: float

    def level(self, false_alarms: float) -> float:
        """The part of `false_alarms` that this comparison may use up: what has not been used of the days gone by.

        Error spending, evenly over time (Lan and DeMets, 1983, Biometrika 70). Each comparison is tested at its own
        part, so the parts add up to at most `false_alarms` whatever the comparisons have in common (Bonferroni).
        """
        return false_alarms * max(0.0, min(self.now, 1.0) - self.before)


@dataclass(frozen=True)
class Succession:
    """The verdict on a fresh champion; `reason` is a sentence with the numbers."""

    verdict: Literal["keep", "roll_back", "wait"]
    reason: str
    examples: int
    labelled: int
    gain: Estimate
    """Champion less predecessor, paired, on the labelled examples."""
    promised: float
    """What the champion's own scores promise; NaN where scores promise nothing."""
    promised_before: float
    """What the predecessor's scores promise on the same examples."""
    level: float
    """Of the test that was made, on labels or on what scores promise; NaN where none was, and nothing was spent."""


def compare_successor(
    rows: pd.DataFrame,
    champion: Floats,
    predecessor: Floats,
    training: Training,
    performance: Performance,
    rule: Rollback,
    *,
    event_time: str,
    as_of: pd.Timestamp,
    look: Look,
    expected: float = float("nan"),
) -> Succession:
    """`rows`: served examples with label (missing where unknown) and what the task judges by; answers [n], [n, levels].

    Roll back if the paired difference is mature, with `rule.min_labelled` labels, and below zero at the level of this
    look. Before that, only if on `rule.min_labelled` examples or more the champion's own scores promise less than
    `(1 - estimate_guard) * expected`, by three standard errors, and less than its predecessor's at the level of this
    look, while those do not: an estimate may stop a breakdown, never decide a close race. `expected`: what it was
    promoted by.
    """
    ripe = performance.model_copy(update={"min_labelled": rule.min_labelled})
    gain = paired_difference(rows, champion, predecessor, training, ripe, event_time=event_time, as_of=as_of)
    task, metric = task_for(training.task), str(training.metric)
    promises = _Promises.of(lambda answers: task.promised(metric, answers), champion, predecessor)
    least = (1 - rule.estimate_guard) * expected
    tested = gain.mature or (gain.rows >= rule.min_labelled and promises.cross(least))
    level = look.level(rule.false_alarms) if tested else float("nan")
    verdict: Literal["keep", "roll_back", "wait"]
    if gain.mature:
        verdict, reason = _judge(metric, gain, level)
    elif tested and promises.broken(least, level):
        verdict, reason = "roll_back", _told(metric, rule, promises, least)
    else:
        verdict = "wait"
        reason = f"{gain.labelled:,} labelled examples so far, {rule.min_labelled:,} mature ones are needed"
    promised, before = promises.champion, promises.predecessor
    return Succession(verdict, reason, gain.rows, gain.labelled, gain.difference, promised, before, level)


def _judge(metric: str, gain: PairedDifference, level: float) -> tuple[Literal["keep", "roll_back"], str]:
    told = f"{metric} differs by {gain.difference} from its predecessor's on {gain.labelled:,} labelled examples"
    told += f" (standard error {gain.error:.3f}, tested at {level:.2%})"
    return ("roll_back", f"worse: {told}") if gain.clearly_worse(level) else ("keep", f"not surely worse: {told}")


def _told(metric: str, rule: Rollback, promises: "_Promises", least: float) -> str:
    return (
        f"estimated {metric} {promises.champion:.3f} is surely below {least:.3f}, {1 - rule.estimate_guard:.0%} "
        f"of what it was promoted by; its predecessor's scores promise {promises.predecessor:.3f} on the same examples"
    )


@dataclass(frozen=True)
class _Promises:
    """The figures that the scores of champion and predecessor promise on the same rows."""

    promise: Callable[[Floats], float]
    answers: tuple[Floats, Floats]
    champion: float
    predecessor: float

    @classmethod
    def of(cls, promise: Callable[[Floats], float], champion: Floats, predecessor: Floats) -> Self:
        return cls(promise, (champion, predecessor), promise(champion), promise(predecessor))

    def cross(self, least: float) -> bool:
        """Whether only the champion's is too low; False where scores promise nothing."""
        return self.champion < least <= self.predecessor

    def broken(self, least: float, level: float) -> bool:
        """Of figures that cross: whether neither the least nor the predecessor's is within chance, by a bootstrap of
        the rows, the same ones for both. Without the test, daily looks at chance moves would take good champions back.
        """
        rng, rows = np.random.default_rng(0), len(self.answers[0])
        drawn = [rng.integers(rows, size=rows) for _ in range(_DRAWS)]
        ours, theirs = (np.array([self.promise(answers[sample]) for sample in drawn]) for answers in self.answers)
        surely_low = self.champion + _GUARD_ERRORS * float(np.std(ours, ddof=1)) < least
        apart, error = self.predecessor - self.champion, float(np.std(theirs - ours, ddof=1))
        return surely_low and (error == 0 or float(norm.sf(apart / error)) <= level)
