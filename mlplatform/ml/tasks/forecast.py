"""An amount, some steps ahead: quantiles, judged beside the seasonal-naive forecast of the same rows.

MASE: Hyndman and Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting 22
(2006).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import block_resamples, resamples
from mlplatform.ml.examples import Examples, renumbered
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks.amounts import Amounts, mean_of
from mlplatform.ml.tasks.base import Figure
from mlplatform.spec.task import ForecastTask

__all__ = ["Forecast"]

_NAIVE, _SCALE, _ORIGIN, _OVERLAP = "naive", "scale", "origin", "overlap"


@dataclass(frozen=True)
class Forecast(Amounts):
    """A bootstrap draws blocks of origins: where horizons overlap they are no witnesses of their own."""

    declared: ForecastTask

    def aside(self, frame: pd.DataFrame, event_time: str, delay_days: int) -> Mapping[str, npt.NDArray[Any]]:
        """The naive forecast, its usual error, the origin's number, and how many origins look at one day."""
        origins, codes = np.unique(frame[event_time].to_numpy(), return_inverse=True)
        until = np.searchsorted(origins, origins + np.timedelta64(delay_days, "D"))
        overlap = np.maximum(until - np.arange(len(origins)), 1)
        return {
            _NAIVE: _numbers(frame, self.declared.naive, "task.naive"),
            _SCALE: _numbers(frame, self.declared.scale, "task.scale"),
            _ORIGIN: codes,
            _OVERLAP: overlap[codes],
        }

    def naive(self, examples: Examples) -> Floats:
        """That of the features."""
        naive: Floats = examples.aside[_NAIVE]
        return naive

    def own_figures(self, examples: Examples, error: Floats) -> dict[str, Figure]:
        """MASE."""
        scaled = error / examples.aside[_SCALE]
        return {"mase": lambda weights: mean_of(scaled, weights)}

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """The declared groups, else blocks of origins that look at the same days: what hits one hits the others."""
        if examples.groups is not None:
            return resamples(self.evidence(examples.labels), samples, seed, examples.groups)
        length = int(examples.aside[_OVERLAP].max(initial=1))
        return block_resamples(renumbered(examples.aside[_ORIGIN]), length, samples, seed)


def _numbers(frame: pd.DataFrame, column: str, said: str) -> Floats:
    if column not in frame.columns:
        raise TrainingError(f"{said} names {column!r}, which the features lack; have {list(frame.columns)}")
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
