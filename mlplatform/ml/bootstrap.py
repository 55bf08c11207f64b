"""Intervals for ranking metrics: a stratified bootstrap that draws the same rows for every model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlplatform.ml.metrics import Floats, Labels, rank, ranking_metric

Codes = npt.NDArray[np.integer]

__all__ = ["Estimate", "bootstrap_metric", "difference", "estimate", "resamples"]


@dataclass(frozen=True)
class Estimate:
    """A figure on all rows and the percentile interval of its bootstrap samples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_metric(
    labels: Labels,
    scores: Mapping[str, Floats],
    metric: str,
    samples: int,
    seed: int,
    weights: Floats | None = None,
    groups: Codes | None = None,
) -> dict[str, Floats]:
    """The metric of each model on `samples` resamples, shape [samples + 1]; the first entry is on all rows.

    Positives and negatives are drawn apart, so that no sample lacks a class, and entry i of every model is on
    the same rows: differences between entries are paired. `weights` [n] count a row so often. Rows of one group
    (`groups` [n], whole numbers from 0) are no independent witnesses: they are drawn together, groups with and without
    a positive apart (the cluster bootstrap of Davison and Hinkley, 1997, section 3.8).
    """
    rankings = {name: rank(labels, values) for name, values in scores.items()}
    results = {name: [ranking_metric(metric, ranking, weights)] for name, ranking in rankings.items()}
    for drawn in resamples(labels, samples, seed, groups):
        counted = drawn if weights is None else drawn * weights
        for name, ranking in rankings.items():
            results[name].append(ranking_metric(metric, ranking, counted))
    return {name: np.asarray(values) for name, values in results.items()}


def estimate(draws: Floats, confidence: float) -> Estimate:
    """Value and two-sided percentile interval of one model's draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[1:], [tail, 1 - tail])
    return Estimate(float(draws[0]), float(low), float(high))


def difference(challenger: Floats, incumbent: Floats, confidence: float) -> Estimate:
    """Challenger less incumbent on the same resamples."""
    return estimate(challenger - incumbent, confidence)


def resamples(labels: Labels, samples: int, seed: int, groups: Codes | None) -> Iterator[Floats]:
    """Weights of each resample, float64[n]: how often it holds each row; positives and others drawn apart, as above."""
    random = np.random.default_rng(seed)
    # What is drawn is one row, or all rows of a group.
    positive = labels == 1 if groups is None else np.bincount(groups, labels == 1) > 0
    classes = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    for _ in range(samples):
        weights = np.zeros(len(positive))
        for drawn in filter(len, classes):
            weights[drawn] = _draw(drawn, random)
        yield weights if groups is None else weights[groups]


def _draw(rows: npt.NDArray[np.intp], random: np.random.Generator) -> Floats:
    drawn = random.integers(0, len(rows), len(rows))
    return np.bincount(drawn, minlength=len(rows)).astype(np.float64)
