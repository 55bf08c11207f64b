"""Yes or no: calibrated probabilities, judged by rank, calibration and cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.blend_weights import blend_weights
from mlplatform.ml.bootstrap import resamples
from mlplatform.ml.calibration import fit_calibration
from mlplatform.ml.examples import Examples
from mlplatform.ml.heads import Head, Probability
from mlplatform.ml.metrics import (
    Floats,
    Labels,
    brier,
    calibration_gaps,
    expected_calibration_error,
    expected_cost,
    ranking_figure,
)
from mlplatform.ml.splits import require_both_classes
from mlplatform.ml.tasks.base import Figure, scores_of
from mlplatform.ml.threshold import cost_threshold
from mlplatform.spec.task import BinaryTask

__all__ = ["NEGATIVES_PER_POSITIVE", "Binary"]

NEGATIVES_PER_POSITIVE = 20
"""The search learns and stops early on all positives and this many weighted negatives each: two thirds of a fit's
time went into watching 40,000 validation rows. Trials are compared on whole folds, and the final fit is whole."""


@dataclass(frozen=True)
class Binary:
    """Labels are 0 or 1."""

    declared: BinaryTask
    unit: ClassVar[str] = Probability.unit
    evidence_name: ClassVar[str] = "positives"
    calibration_name: ClassVar[str | None] = "expected calibration error, 10 equal-mass bins"

    @property
    def levels(self) -> str:
        """What is answered."""
        return f"a calibrated probability, decided from {cost_threshold(self.declared.costs):.4g} on"

    @property
    def searched(self) -> BinaryTask:
        """As it is declared."""
        return self.declared

    def labels(self, values: pd.Series) -> Labels:
        """0 or 1, int64[n]."""
        if not values.isin([0, 1]).all():
            raise TrainingError(f"{values.name!r} must be 0 or 1 in every row; drop rows whose label is not known yet")
        return values.to_numpy(dtype=np.int64)

    def aside(self, frame: pd.DataFrame, event_time: str, delay_days: int) -> Mapping[str, npt.NDArray[Any]]:
        """Nothing."""
        del frame, event_time, delay_days
        return {}

    def require(self, examples: Examples, part: str, extent: object) -> None:
        """Both classes."""
        require_both_classes(examples.labels, part, extent)

    def thinned(self, examples: Examples, seed: int) -> Examples:
        """All positives and some negatives, weighted."""
        return examples.thinned(NEGATIVES_PER_POSITIVE, seed)

    def head(self, kind: str, raw: Floats, tune: Examples) -> Probability:
        """A calibration, and the threshold of the declared costs."""
        calibration = fit_calibration(kind, raw, tune.labels, tune.weights)
        return Probability(calibration, cost_threshold(self.declared.costs))

    def answered_by(self, head: Head) -> bool:
        """Probabilities."""
        return isinstance(head, Probability)

    def read_answers(self, described: Sequence[Mapping[str, Any]]) -> Floats:
        """Probabilities, [n]."""
        return scores_of(described)

    def promised(self, name: str, answers: Floats) -> float:
        """Each row counts as a positive with its probability and as a negative with the rest.

        The expected confusion matrix of confidence-based performance estimation, at every threshold at once. It knows
        nothing of a change that the scores do not show (concept drift).
        """
        if not len(answers):
            return float("nan")
        labels = np.repeat(np.asarray([1, 0]), len(answers))
        twice, weights = np.tile(answers, 2), np.concatenate([answers, 1 - answers])
        examples = Examples(np.empty((len(twice), 0)), labels, weights)
        return float(self.figure(name, examples, twice)(weights))

    def figure(self, name: str, examples: Examples, answers: Floats) -> Figure:
        """`auc` or `average_precision` by any score; the others by probabilities."""
        if name in ("auc", "average_precision"):
            return ranking_figure(name, examples.labels, answers)
        return self.figures(examples, answers)[name]

    def figures(self, examples: Examples, answers: Floats) -> dict[str, Figure]:
        """Rank, calibration, and the mean cost of a row in the unit of the declared costs."""
        labels, costs = examples.labels, self.declared.costs
        threshold = cost_threshold(costs)
        return {
            "average_precision": ranking_figure("average_precision", labels, answers),
            "auc": ranking_figure("auc", labels, answers),
            "brier": lambda weights: brier(labels, answers, weights),
            "calibration_error": calibration_gaps(labels, answers),
            "cost_per_row": lambda weights: expected_cost(labels, answers, threshold, costs, weights),
        }

    def calibration_error(self, examples: Examples, answers: Floats) -> float:
        """The expected one, of ten bins."""
        return expected_calibration_error(examples.labels, answers, weights=examples.weights)

    def middle(self, answers: Floats) -> Floats:
        """As they are."""
        return answers

    def blend(self, columns: Floats, examples: Examples) -> Floats:
        """By log loss: stacking of scores."""
        return blend_weights(columns, examples.labels, examples.weights)

    def evidence(self, labels: Labels) -> npt.NDArray[np.bool_]:
        """The positives."""
        return np.asarray(labels == 1)

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """Rows, or the declared groups."""
        groups = examples.groups
        return resamples(self.evidence(examples.labels), samples, seed, groups)
