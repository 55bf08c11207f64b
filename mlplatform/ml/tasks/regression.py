"""An amount of a row: quantiles, judged beside the median of the same rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.ml.bootstrap import resamples
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks.amounts import Amounts, mean_of
from mlplatform.ml.tasks.base import Figure
from mlplatform.spec.task import RegressionTask

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression(Amounts):
    """The naive answer is the median of the very rows that are judged, the best constant in hindsight: a skill above 0
    is never owed to a level that has moved."""

    declared: RegressionTask

    def aside(self, frame: pd.DataFrame, event_time: str, delay_days: int) -> Mapping[str, npt.NDArray[Any]]:
        """Nothing."""
        del frame, event_time, delay_days
        return {}

    def naive(self, examples: Examples) -> Floats:
        """The median label, weights aside."""
        middle = float(np.median(examples.labels)) if len(examples) else float("nan")
        return np.full(len(examples), middle)

    def own_figures(self, examples: Examples, error: Floats) -> dict[str, Figure]:
        """Mean absolute error, and the share of the variance that is explained (R2) by the median."""
        labels, squared = examples.labels.astype(np.float64), error**2

        def explained(weights: Floats | None) -> float:
            away = (labels - mean_of(labels, weights)) ** 2
            spread = mean_of(away, weights)
            return 1 - mean_of(squared, weights) / spread if spread > 0 else float("nan")

        return {"mae": lambda weights: mean_of(error, weights), "r2": explained}

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """Rows, or the declared groups."""
        return resamples(self.evidence(examples.labels), samples, seed, examples.groups)
