"""Intervals for figures: a stratified bootstrap that draws the same rows for every model and every figure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlplatform.ml.examples import Codes
from mlplatform.ml.metrics import Floats

__all__ = ["Estimate", "block_resamples", "bootstrap_figures", "difference", "estimate", "resamples", "standard_error"]


@dataclass(frozen=True)
class Estimate:
    """A figure on all rows and the percentile interval of its bootstrap samples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_figures(
    figures: Mapping[str, Callable[[Floats | None], float]], drawn: Iterator[Floats], weights: Floats | None = None
) -> dict[str, Floats]:
    """Each figure on every resample of `drawn`, shape [samples + 1]; the first entry is on all rows.

    Entry i of every figure is on the same rows: differences between entries are paired. `weights` [n] count a row so
    often.
    """
    results = {name: [figure(weights)] for name, figure in figures.items()}
    for sample in drawn:
        counted = sample if weights is None else sample * weights
        for name, figure in figures.items():
            results[name].append(figure(counted))
    return {name: np.asarray(values) for name, values in results.items()}


def estimate(draws: Floats, confidence: float) -> Estimate:
    """Value and two-sided percentile interval of one figure's draws; draws that cannot have the figure do not count."""
    tail, known = (1 - confidence) / 2, draws[1:][np.isfinite(draws[1:])]
    low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
    return Estimate(float(draws[0]), float(low), float(high))


def difference(challenger: Floats, incumbent: Floats, confidence: float) -> Estimate:
    """Challenger less incumbent on the same resamples."""
    return estimate(challenger - incumbent, confidence)


def standard_error(draws: Floats) -> float:
    """Of one figure's draws: their standard deviation around the figure itself; NaN where fewer than two have it."""
    known = draws[1:][np.isfinite(draws[1:])]
    return float(np.sqrt(np.square(known - draws[0]).sum() / (len(known) - 1))) if len(known) > 1 else float("nan")


def resamples(positive: npt.NDArray[np.bool_], samples: int, seed: int, groups: Codes | None) -> Iterator[Floats]:
    """Weights of each resample, float64[n]: how often it holds each row.

    `positive` bool[n] and others are drawn apart, so that no sample lacks a class. Rows of one group (`groups` [n],
    whole numbers from 0) are no independent witnesses: they are drawn together, groups with and without a positive
    apart (the cluster bootstrap of Davison and Hinkley, 1997, section 3.8).
    """
    random = np.random.default_rng(seed)
    # What is drawn is one row, or all rows of a group.
    holds = positive if groups is None else np.bincount(groups, positive) > 0
    classes = [np.flatnonzero(holds), np.flatnonzero(~holds)]
    for _ in range(samples):
        weights = np.zeros(len(holds))
        for drawn in filter(len, classes):
            weights[drawn] = _draw(drawn, random)
        yield weights if groups is None else weights[groups]


def block_resamples(moments: Codes, length: int, samples: int, seed: int) -> Iterator[Floats]:
    """Weights of each resample, float64[n], from blocks of `length` neighbouring moments [n] (numbered in their order).

    The circular block bootstrap (Politis and Romano, 1992): each block begins at any moment with the same chance, and
    behind the last one comes the first.
    """
    random, moments_in_all = np.random.default_rng(seed), int(moments.max()) + 1
    length = min(length, moments_in_all)
    blocks = -(-moments_in_all // length)
    for _ in range(samples):
        starts = random.integers(0, moments_in_all, blocks)
        covered = (starts[:, None] + np.arange(length)) % moments_in_all
        yield np.bincount(covered.ravel(), minlength=moments_in_all).astype(np.float64)[moments]


def _draw(rows: npt.NDArray[np.intp], random: np.random.Generator) -> Floats:
    drawn = random.integers(0, len(rows), len(rows))
    return np.bincount(drawn, minlength=len(rows)).astype(np.float64)
