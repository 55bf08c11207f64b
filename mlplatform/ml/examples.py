"""Labelled rows as the trainers take them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.metrics import Floats, Labels

__all__ = ["Examples", "row_weights"]


@dataclass(frozen=True)
class Examples:
    """Rows float64[n, f], labels 0/1 [n], and how many rows each one stands for [n] (None: one)."""

    rows: Floats
    labels: Labels
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Examples":
        """The chosen rows, by mask or index."""
        weights = None if self.weights is None else self.weights[chosen]
        return Examples(self.rows[chosen], self.labels[chosen], weights)

    def thinned(self, negatives_per_positive: int, seed: int) -> "Examples":
        """All positives and a sample of the negatives, weighted so that the class shares stay what they were."""
        positive, negative = np.flatnonzero(self.labels == 1), np.flatnonzero(self.labels != 1)
        kept = min(len(negative), negatives_per_positive * len(positive))
        if kept == len(negative):
            return self
        sample = np.random.default_rng(seed).choice(negative, kept, replace=False)
        weights = np.ones(len(self)) if self.weights is None else self.weights.copy()
        weights[sample] *= len(negative) / kept
        rows = np.sort(np.concatenate([positive, sample]))
        return Examples(self.rows[rows], self.labels[rows], weights[rows])


def row_weights(frame: pd.DataFrame, column: str | None) -> Floats | None:
    """How many examples each row stands for, float64[n]; None where no column says so: one.

    Raises TrainingError when the column is missing, or a weight is missing, infinite or not above 0.
    """
    if column is None:
        return None
    if column not in frame.columns:
        raise TrainingError(f"the rows lack the weight {column!r}; have {list(frame.columns)}")
    weights = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = int((~(np.isfinite(weights) & (weights > 0))).sum())
    if wrong:
        raise TrainingError(f"{wrong} of {len(weights)} labelled rows have no {column!r} above 0; correct the spine")
    return weights
