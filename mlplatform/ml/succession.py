"""Is the new champion worse than the one before it, on the same served examples?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mlplatform.ml.bootstrap import Estimate
from mlplatform.ml.challenge import PairedDifference, paired_difference
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks import task_for
from mlplatform.spec.performance import Performance
from mlplatform.spec.rollback import Rollback
from mlplatform.spec.training import Training

__all__ = ["Look", "Succession", "compare_successor"]

_GUARD_ERRORS = 3.0
_DRAWS = 100


@dataclass(frozen=True)
class Look:
    """One comparison among those of a champion's fresh days, by how many of these days were over, 0..1: at the mature
    comparison before this one (0: there was none), and now."""

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
    """Of the test on labels; NaN where they were not mature."""


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
    `(1 - estimate_guard) * expected`, by three standard errors, while its predecessor's do not: an estimate may stop a
    breakdown, never decide a close race. `expected`: what it was promoted by.
    """
    ripe = performance.model_copy(update={"min_labelled": rule.min_labelled})
    gain = paired_difference(rows, champion, predecessor, training, ripe, event_time=event_time, as_of=as_of)
    task, metric = task_for(training.task), str(training.metric)
    promised, before = (task.promised(metric, answers) for answers in (champion, predecessor))
    level = look.level(rule.false_alarms) if gain.mature else float("nan")
    least = (1 - rule.estimate_guard) * expected
    if gain.rows < rule.min_labelled or not promised < least <= before:
        broken = False
    else:
        # Daily looks at no more examples than chance moves would take good champions back.
        error = _error_of_promise(lambda answers: task.promised(metric, answers), champion)
        broken = promised + _GUARD_ERRORS * error < least
    verdict, reason = _judge(metric, rule, gain, level, _Guard(broken, promised, before, least))
    return Succession(verdict, reason, gain.rows, gain.labelled, gain.difference, promised, before, level)


@dataclass(frozen=True)
class _Guard:
    """What the scores promise: of the champion, of its predecessor, and the least that may be."""

    broken: bool
    promised: float
    before: float
    least: float


def _judge(
    metric: str, rule: Rollback, gain: PairedDifference, level: float, guard: _Guard
) -> tuple[Literal["keep", "roll_back", "wait"], str]:
    if gain.mature:
        told = f"{metric} differs by {gain.difference} from its predecessor's on {gain.labelled:,} labelled examples"
        told += f" (standard error {gain.error:.3f}, tested at {level:.2%})"
        return ("roll_back", f"worse: {told}") if gain.clearly_worse(level) else ("keep", f"not surely worse: {told}")
    if guard.broken:
        return "roll_back", (
            f"estimated {metric} {guard.promised:.3f} is surely below {guard.least:.3f}, {1 - rule.estimate_guard:.0%} "
            f"of what it was promoted by; its predecessor's scores promise {guard.before:.3f} on the same examples"
        )
    return "wait", f"{gain.labelled:,} labelled examples so far, {rule.min_labelled:,} mature ones are needed"


def _error_of_promise(promise: Callable[[Floats], float], answers: Floats) -> float:
    """Standard error of what answers promise, by a bootstrap of their rows."""
    rng = np.random.default_rng(0)
    rows = len(answers)
    return float(np.std([promise(answers[rng.integers(rows, size=rows)]) for _ in range(_DRAWS)], ddof=1))
