"""Labelled rows as the trainers take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlplatform.errors import TrainingError
from mlplatform.ml.metrics import Floats, Labels

if TYPE_CHECKING:
    # At run time only where frames are read: what serves a model needs none.
    import pandas as pd

__all__ = ["QUERY", "Codes", "Examples", "column_codes", "renumbered", "row_groups", "row_weights"]

Codes = npt.NDArray[np.integer]
"""Numbers of groups, [n]."""
QUERY = "query"
"""Among what is kept aside for an order: the number of the request of each row."""


@dataclass(frozen=True)
class Examples:
    """Rows float64[n, f], labels [n], how many rows each one stands for [n] (None: one), and the number of the
    group that each belongs to [n] (None: every row is independent of the others)."""

    rows: Floats
    labels: Labels
    weights: Floats | None = None
    groups: Codes | None = None
    aside: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """What the task judges by beside the labels, [n] each."""

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Examples:
        """The chosen rows, by mask or index."""
        weights = None if self.weights is None else self.weights[chosen]
        groups = None if self.groups is None else renumbered(self.groups[chosen])
        aside = {name: values[chosen] for name, values in self.aside.items()}
        return Examples(self.rows[chosen], self.labels[chosen], weights, groups, aside)

    def thinned(self, negatives_per_positive: int, seed: int) -> Examples:
        """All positives and a sample of the negatives, weighted so that the class shares stay what they were."""
        positive, negative = np.flatnonzero(self.labels == 1), np.flatnonzero(self.labels != 1)
        kept = min(len(negative), negatives_per_positive * len(positive))
        if kept == len(negative):
            return self
        sample = np.random.default_rng(seed).choice(negative, kept, replace=False)
        weights = np.ones(len(self)) if self.weights is None else self.weights.copy()
        weights[sample] *= len(negative) / kept
        rows = np.sort(np.concatenate([positive, sample]))
        groups = None if self.groups is None else renumbered(self.groups[rows])
        aside = {name: values[rows] for name, values in self.aside.items()}
        return Examples(self.rows[rows], self.labels[rows], weights[rows], groups, aside)


def column_codes(frame: pd.DataFrame, column: str, said: str) -> Codes:
    """The values of a column as numbers from 0, int[n]; `said`: what in the declaration names it.

    Raises TrainingError when the column is missing, or a row has no value.
    """
    import pandas as pd

    if column not in frame.columns:
        raise TrainingError(f"{said} names {column!r}, which the features lack; have {list(frame.columns)}")
    codes = pd.factorize(frame[column])[0]
    if without := int((codes < 0).sum()):
        raise TrainingError(f"{without} of {len(codes)} rows have no {column!r}, which {said} names; correct the spine")
    return codes


def renumbered(codes: Codes) -> Codes:
    """The same groups numbered from 0 without a gap: what is drawn are the groups that are there."""
    return np.unique(codes, return_inverse=True)[1]


def row_groups(frame: pd.DataFrame, column: str | None) -> Codes | None:
    """The number of the group of each row, from 0, int[n]; None where no column says so: rows are independent."""
    if column is None:
        return None
    import pandas as pd

    return pd.factorize(frame[column])[0]


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
