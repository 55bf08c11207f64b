"""An amount, some steps ahead: quantiles, judged beside the seasonal-naive forecast of the same rows.

MASE: Hyndman and Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting 22
(2006).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.blend_weights import blend_amounts
from mlplatform.ml.bootstrap import block_resamples, resamples
from mlplatform.ml.examples import Examples, renumbered
from mlplatform.ml.heads import Head, Quantiles
from mlplatform.ml.metrics import Floats, Labels
from mlplatform.ml.tasks.base import Figure
from mlplatform.spec.task import ForecastTask

__all__ = ["Forecast"]

_NAIVE, _SCALE, _ORIGIN, _OVERLAP = "naive", "scale", "origin", "overlap"


@dataclass(frozen=True)
class Forecast:
    """Labels are amounts. A bootstrap draws blocks of origins: where horizons overlap they are no witnesses of their
    own."""

    declared: ForecastTask
    unit: ClassVar[str] = Quantiles.unit
    evidence_name: ClassVar[str] = "rows"
    calibration_name: ClassVar[str | None] = "share of rows inside the interval, its distance to the declared share"

    @property
    def levels(self) -> str:
        """What is answered."""
        return f"quantiles {', '.join(f'{level:g}' for level in self.declared.quantiles)}"

    @property
    def searched(self) -> ForecastTask:
        """The median alone: the metric looks at nothing else."""
        return self.declared.model_copy(update={"quantiles": [0.5]})

    def labels(self, values: pd.Series) -> Labels:
        """Finite numbers, float64[n]."""
        amounts = values.to_numpy(dtype=np.float64, na_value=np.nan)
        if wrong := int((~np.isfinite(amounts)).sum()):
            raise TrainingError(
                f"{wrong} of {len(amounts)} labelled rows have no finite {values.name!r}; correct the spine"
            )
        return amounts

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

    def require(self, examples: Examples, part: str, extent: object) -> None:
        """Labels that differ from the naive forecast: else there is nothing to be better than."""
        error = np.abs(examples.labels - examples.aside[_NAIVE])
        if not np.nansum(error) > 0:
            raise TrainingError(
                f"the {part} part, {extent}, has {len(examples)} rows, on none of which the naive forecast errs; "
                "load more history or correct task.naive"
            )

    def thinned(self, examples: Examples, seed: int) -> Examples:
        """All."""
        del seed
        return examples

    def head(self, kind: str, raw: Floats, tune: Examples) -> Quantiles:
        """Widen (`conformal`) or not (`none`)."""
        levels = tuple(self.declared.quantiles)
        return Quantiles.fit(
            levels,
            raw,
            tune.labels.astype(np.float64),
            self.declared.minimum,
            conformal=kind == "conformal",
            weights=tune.weights,
        )

    def answered_by(self, head: Head) -> bool:
        """Quantiles of the same levels."""
        return isinstance(head, Quantiles) and list(head.levels) == self.declared.quantiles

    def read_answers(self, described: Sequence[Mapping[str, Any]]) -> Floats:
        """Quantiles, [n, levels]."""
        names = [f"{level:g}" for level in self.declared.quantiles]
        try:
            rows = [[answer["quantiles"][name] for name in names] for answer in described]
        except (KeyError, TypeError) as error:
            raise TrainingError(f"an answer lacks a quantile ({error}): it is one of another declaration") from error
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(names))

    def promised(self, name: str, answers: Floats) -> float:
        """Nothing: how far an amount will be off depends on more than the quantiles."""
        del name, answers
        return float("nan")

    def figure(self, name: str, examples: Examples, answers: Floats) -> Figure:
        """By its name; skills also by a model of the middle alone, [n] or [n, 1]."""
        alone = answers.ndim == 1 or answers.shape[1] == 1
        if name == "skill" or (name == "quantile_skill" and alone):
            return self._skill(examples, self._median(answers))
        return self.figures(examples, answers)[name]

    def figures(self, examples: Examples, answers: Floats) -> dict[str, Figure]:
        """Skill, WAPE and MASE of the median, pinball loss of all levels, coverage of the interval, bias."""
        labels, median = examples.labels.astype(np.float64), self._median(answers)
        error = np.abs(labels - median)
        scaled = error / examples.aside[_SCALE]
        levels = np.asarray(self.declared.quantiles)
        pinball = _pinball(labels, answers, levels)
        naive = _pinball(labels, examples.aside[_NAIVE][:, None], levels)
        inside = (labels >= answers[:, 0]) & (labels <= answers[:, -1])
        return {
            "skill": self._skill(examples, median),
            "quantile_skill": lambda weights: 1 - _ratio(pinball, naive, weights),
            "wape": lambda weights: _ratio(error, np.abs(labels), weights),
            "wape_naive": lambda weights: _ratio(np.abs(labels - examples.aside[_NAIVE]), np.abs(labels), weights),
            "mase": lambda weights: _mean(scaled, weights),
            "pinball": lambda weights: _mean(pinball, weights),
            "coverage": lambda weights: _mean(inside.astype(np.float64), weights),
            "bias": lambda weights: _ratio(median - labels, np.abs(labels), weights),
        }

    def calibration_error(self, examples: Examples, answers: Floats) -> float:
        """Distance of the coverage to the declared one."""
        declared = self.declared.quantiles[-1] - self.declared.quantiles[0]
        return abs(self.figure("coverage", examples, answers)(examples.weights) - declared)

    def middle(self, answers: Floats) -> Floats:
        """The median."""
        return self._median(answers)

    def blend(self, columns: Floats, examples: Examples) -> Floats:
        """By squared error of the medians: stacking of amounts."""
        return blend_amounts(columns, examples.labels.astype(np.float64), examples.weights)

    def evidence(self, labels: Labels) -> npt.NDArray[np.bool_]:
        """Every row."""
        return np.ones(len(labels), dtype=np.bool_)

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """The declared groups, else blocks of origins that look at the same days: what hits one hits the others."""
        if examples.groups is not None:
            return resamples(self.evidence(examples.labels), samples, seed, examples.groups)
        length = int(examples.aside[_OVERLAP].max(initial=1))
        return block_resamples(renumbered(examples.aside[_ORIGIN]), length, samples, seed)

    def _median(self, answers: Floats) -> Floats:
        if answers.ndim == 1:
            return answers
        return answers[:, 0] if answers.shape[1] == 1 else answers[:, self.declared.quantiles.index(0.5)]

    def _skill(self, examples: Examples, median: Floats) -> Figure:
        error = np.abs(examples.labels - median)
        naive = np.abs(examples.labels - examples.aside[_NAIVE])
        return lambda weights: 1 - _ratio(error, naive, weights)


def _pinball(labels: Floats, answers: Floats, levels: Floats) -> Floats:
    """Mean over the levels, [n]; one column of answers stands for all of them."""
    below = labels[:, None] - answers
    loss: Floats = np.maximum(levels * below, (levels - 1) * below).mean(axis=1)
    return loss


def _mean(values: Floats, weights: Floats | None) -> float:
    """Over the rows that have a value."""
    known = np.isfinite(values)
    if weights is not None:
        known &= weights > 0
    if not known.any():
        return float("nan")
    return float(np.average(values[known], weights=None if weights is None else weights[known]))


def _ratio(above: Floats, below: Floats, weights: Floats | None) -> float:
    """Sum over sum, over the rows that have both; NaN where there is nothing to divide by."""
    known = np.isfinite(above) & np.isfinite(below)
    mass = known.astype(np.float64) if weights is None else weights * known
    base = float(mass @ np.where(known, below, 0.0))
    return float(mass @ np.where(known, above, 0.0)) / base if base > 0 else float("nan")


def _numbers(frame: pd.DataFrame, column: str, said: str) -> Floats:
    if column not in frame.columns:
        raise TrainingError(f"{said} names {column!r}, which the features lack; have {list(frame.columns)}")
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
