"""Is the new champion worse than the one before it, on the same served examples?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mlplatform.ml.bootstrap import Estimate, bootstrap_figures, difference
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import labelled_examples
from mlplatform.spec.rollback import Rollback
from mlplatform.spec.training import Training

__all__ = ["Succession", "compare_successor"]

_SAMPLES = 200
_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


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


def compare_successor(
    rows: pd.DataFrame,
    champion: Floats,
    predecessor: Floats,
    training: Training,
    rule: Rollback,
    *,
    event_time: str,
    expected: float = float("nan"),
    seed: int = 7,
) -> Succession:
    """`rows`: served examples with label (missing where unknown) and what the task judges by; answers [n], [n, levels].

    Roll back if the paired bootstrap interval of the difference lies below zero on at least `min_labelled` labels. With
    fewer, only if the champion's own scores promise less than `(1 - estimate_guard) * expected` while its predecessor's
    do not: an estimate may stop a breakdown, never decide a close race. `expected`: what it was promoted by.
    """
    task, metric = task_for(training.task), str(training.metric)
    known = rows[training.label].notna().to_numpy()
    promised, before = (task.promised(metric, answers) for answers in (champion, predecessor))
    labelled = int(known.sum())
    gain = _gain(rows[known], champion[known], predecessor[known], training, event_time, seed) if labelled else _UNKNOWN
    verdict, reason = _judge(metric, rule, labelled, gain, (promised, before, expected))
    return Succession(verdict, reason, len(rows), labelled, gain, promised, before)


def _judge(
    metric: str, rule: Rollback, labelled: int, gain: Estimate, estimates: tuple[float, float, float]
) -> tuple[Literal["keep", "roll_back", "wait"], str]:
    if labelled >= rule.min_labelled and np.isfinite(gain.high):
        told = f"{metric} differs by {gain} from its predecessor's on {labelled:,} labelled examples"
        return ("roll_back", f"worse: {told}") if gain.high < 0 else ("keep", f"not worse: {told}")
    promised, before, expected = estimates
    least = (1 - rule.estimate_guard) * expected
    if promised < least <= before:
        return "roll_back", (
            f"estimated {metric} {promised:.3f} is below {least:.3f}, {1 - rule.estimate_guard:.0%} of what it was "
            f"promoted by; its predecessor's scores promise {before:.3f} on the same examples"
        )
    return "wait", f"{labelled:,} labelled examples so far, {rule.min_labelled:,} are needed"


def _gain(
    rows: pd.DataFrame, champion: Floats, predecessor: Floats, training: Training, event_time: str, seed: int
) -> Estimate:
    task, metric = task_for(training.task), str(training.metric)
    examples = labelled_examples(rows, np.empty((len(rows), 0)), training, event_time)

    def draws(answers: Floats) -> Floats:
        drawn = task.resamples(examples, _SAMPLES, seed)
        return bootstrap_figures({metric: task.figure(metric, examples, answers)}, drawn, examples.weights)[metric]

    return difference(draws(champion), draws(predecessor), training.gates.confidence)
