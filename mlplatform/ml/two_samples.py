"""Two samples of one column: how far apart are they, and may that be chance? All rows, each sample sorted once."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.ml.design_effect import Ints, effective_rows

__all__ = ["Difference", "Floats", "compare_categories", "compare_numbers"]

Floats = npt.NDArray[np.float64]
Blocks = tuple[Ints | None, Ints | None]

BINS = 10
"""Of equally many reference values; the design effect of a number is taken over them."""


@dataclass(frozen=True)
class Difference:
    """`effect` 0..1 and its p-value; rows each sample is worth, and the means of the known values (NaN: none)."""

    test: Literal["ks", "chisquare"]
    effect: float
    p_value: float
    effective: tuple[float, float] = (0.0, 0.0)
    means: tuple[float, float] = (np.nan, np.nan)


def compare_numbers(old: Floats, new: Floats, blocks: Blocks = (None, None)) -> Difference:
    """Kolmogorov-Smirnov of the known values, and chi-square of the share of missing ones where any is missing.

    `old` [m], `new` [n], NaN is missing. The effect is the larger of both distances, the p-value is Bonferroni's over
    the two questions. Blocks [m], [n] say which rows belong together.
    """
    if not len(old) or not len(new):
        return Difference("ks", 0.0, 1.0)
    rising = _known(old), _known(new)
    means = tuple(float(each.mean()) if len(each) else np.nan for each in rising)
    known = len(rising[0]) / len(old), len(rising[1]) / len(new)
    edges = rising[0][np.arange(1, BINS) * len(rising[0]) // BINS] if len(rising[0]) else rising[0]
    worth = _effective_rows((old, new), edges, blocks)
    effect = ks_distance(*rising)
    p = _ks_p_value(effect, worth[0] * known[0], worth[1] * known[1]) if min(map(len, rising)) else 1.0
    if min(known) < 1:
        change, p_change = _chi_square(
            np.array(
                [[worth[0] * known[0], worth[1] * known[1]], [worth[0] * (1 - known[0]), worth[1] * (1 - known[1])]]
            )
        )
        effect, p = max(effect, change), min(1.0, 2 * min(p, p_change))
    return Difference("ks", effect, p, (worth[0], worth[1]), (means[0], means[1]))


def compare_categories(old: pd.Series, new: pd.Series, blocks: Blocks = (None, None)) -> Difference:
    """Chi-square of the table value x sample, and the total variation; missing is a value of its own.

    Counts are those of the effective rows (Rao and Scott, 1992, for clustered rows).
    """
    if not len(old) or not len(new):
        return Difference("chisquare", 0.0, 1.0)
    codes, names = pd.factorize(pd.concat([old, new], ignore_index=True))
    levels = len(names) + 1
    codes = np.where(codes < 0, len(names), codes)
    parts = codes[: len(old)], codes[len(old) :]
    worth = effective_rows(parts, levels, blocks, ordered=False)
    shares = np.column_stack([np.bincount(part, minlength=levels) / len(part) for part in parts])
    effect, p = _chi_square(shares * np.asarray(worth))
    return Difference("chisquare", effect, p, (worth[0], worth[1]))


def ks_distance(old: Floats, new: Floats) -> float:
    """Largest distance of the two distribution functions; both samples rising, without NaN. 0 if one is empty.

    Between two neighbouring values of the smaller sample its function is flat and the other rises, so the largest
    distance lies at such a value, or just before it: only there the larger sample is looked at.
    """
    few, many = (old, new) if len(old) <= len(new) else (new, old)
    if not len(few):
        return 0.0
    last = np.append(np.flatnonzero(few[1:] != few[:-1]), len(few) - 1)
    values = few[last]
    upto = (last + 1) / len(few)
    before = np.concatenate([[0.0], upto[:-1]])
    at = np.abs(np.searchsorted(many, values, side="right") / len(many) - upto).max()
    just_before = np.abs(np.searchsorted(many, values, side="left") / len(many) - before).max()
    return float(max(at, just_before))


def _known(values: Floats) -> Floats:
    """Rising; numpy sorts NaN to the end."""
    rising = np.sort(values)
    return rising[: len(rising) - int(np.isnan(values).sum())]


def _effective_rows(samples: tuple[Floats, Floats], edges: Floats, blocks: Blocks) -> tuple[float, ...]:
    if all(block is None for block in blocks):
        return tuple(float(len(values)) for values in samples)
    bins = [np.searchsorted(edges, values, side="left") for values in samples]
    for each, values in zip(bins, samples, strict=True):
        each[np.isnan(values)] = len(edges) + 1
    return effective_rows(bins, len(edges) + 2, blocks, ordered=True)


def _ks_p_value(distance: float, old: float, new: float) -> float:
    """Of as many independent rows, by the distribution that scipy's `ks_2samp(method="asymp")` takes."""
    from scipy.stats import kstwo

    return float(kstwo.sf(distance, max(1, round(old * new / (old + new)))))


def _chi_square(counts: Floats) -> tuple[float, float]:
    """Total variation and p-value of counts [values, 2]; a value that is rare in either sample is pooled."""
    from scipy.stats import chi2_contingency

    counts = counts[counts.sum(axis=1) > 0]
    if len(counts) < 2:
        return 0.0, 1.0
    shares = counts / counts.sum(axis=0)
    table = _pool_rare(counts)
    p = float(chi2_contingency(table, correction=False).pvalue) if len(table) > 1 else 1.0
    return float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2), p


def _pool_rare(counts: Floats) -> Floats:
    """Rows whose expected count is below 5 in either sample become one (Cochran's rule for the chi-square)."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    rare = (expected < 5).any(axis=1)
    if not rare.any():
        return counts
    return np.vstack([counts[~rare], counts[rare].sum(axis=0)])
