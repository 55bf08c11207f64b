"""What a forecast and a regression share: labels are amounts, answers quantiles, judged beside a naive answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.blend_weights import blend_amounts
from mlplatform.ml.examples import Examples
from mlplatform.ml.heads import Head, Quantiles
from mlplatform.ml.metrics import Floats, Labels
from mlplatform.ml.tasks.base import Figure
from mlplatform.spec.task import ForecastTask, RegressionTask

__all__ = ["Amounts", "mean_of"]


@dataclass(frozen=True)
class Amounts:
    """Labels are amounts; what the naive answer is, and which rows are independent, the task itself says."""

    declared: ForecastTask | RegressionTask
    unit: ClassVar[str] = Quantiles.unit
    evidence_name: ClassVar[str] = "rows"
    calibration_name: ClassVar[str | None] = "share of rows inside the interval, its distance to the declared share"

    @property
    def levels(self) -> str:
        """What is answered."""
        return f"quantiles {', '.join(f'{level:g}' for level in self.declared.quantiles)}"

    @property
    def searched(self) -> ForecastTask | RegressionTask:
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

    def naive(self, examples: Examples) -> Floats:
        """The naive answer of each row, [n]; NaN where there is none."""
        raise NotImplementedError

    def require(self, examples: Examples, part: str, extent: object) -> None:
        """Labels that differ from the naive answer: else there is nothing to be better than."""
        error = np.abs(examples.labels - self.naive(examples))
        if not np.nansum(error) > 0:
            raise TrainingError(
                f"the {part} part, {extent}, has {len(examples)} rows, on none of which the naive answer errs; load "
                f"more history{' or correct task.naive' if isinstance(self.declared, ForecastTask) else ''}"
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
        """Skill and WAPE of the median, those of the task, pinball loss, coverage of the interval, bias."""
        labels, median = examples.labels.astype(np.float64), self._median(answers)
        error, simple = np.abs(labels - median), self.naive(examples)
        levels = np.asarray(self.declared.quantiles)
        pinball = _pinball(labels, answers, levels)
        naive = _pinball(labels, simple[:, None], levels)
        inside = (labels >= answers[:, 0]) & (labels <= answers[:, -1])
        return {
            "skill": self._skill(examples, median),
            "quantile_skill": lambda weights: 1 - _ratio(pinball, naive, weights),
            "wape": lambda weights: _ratio(error, np.abs(labels), weights),
            "wape_naive": lambda weights: _ratio(np.abs(labels - simple), np.abs(labels), weights),
            **self.own_figures(examples, error),
            "pinball": lambda weights: mean_of(pinball, weights),
            "coverage": lambda weights: mean_of(inside.astype(np.float64), weights),
            "bias": lambda weights: _ratio(median - labels, np.abs(labels), weights),
        }

    def own_figures(self, examples: Examples, error: Floats) -> dict[str, Figure]:
        """What this task tells beside the others; `error` [n]: how far the median is off."""
        del examples, error
        return {}

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

    def _median(self, answers: Floats) -> Floats:
        if answers.ndim == 1:
            return answers
        return answers[:, 0] if answers.shape[1] == 1 else answers[:, self.declared.quantiles.index(0.5)]

    def _skill(self, examples: Examples, median: Floats) -> Figure:
        error = np.abs(examples.labels - median)
        naive = np.abs(examples.labels - self.naive(examples))
        return lambda weights: 1 - _ratio(error, naive, weights)


def _pinball(labels: Floats, answers: Floats, levels: Floats) -> Floats:
    """Mean over the levels, [n]; one column of answers stands for all of them."""
    below = labels[:, None] - answers
    loss: Floats = np.maximum(levels * below, (levels - 1) * below).mean(axis=1)
    return loss


def mean_of(values: Floats, weights: Floats | None) -> float:
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
