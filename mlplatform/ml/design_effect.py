"""How many independent rows are the rows of a window worth? Days differ, and rows of one day are alike.

The design effect is the variance of a share in the rows at hand over its variance in as many independent rows (Kish,
1965, "Survey Sampling"). Rows divided by it are the effective rows; the tests of drift count those. Blocks of time play
the part of clusters: the method of batch means for autocorrelated series.
"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["Ints", "design_effect", "time_blocks"]

Ints = npt.NDArray[np.int64]

MOST_BLOCKS = 14
"""Of a window. Fewer tell less of how blocks vary; shorter ones than a day would take day and night for drift."""


def time_blocks(times: pd.Series, window_days: int) -> Ints:
    """The block of each row, counted from 0, int64[n]: whole days, so many together that a window has 7 to 14 blocks.

    Windows shorter than a week have as many blocks as days.
    """
    if times.empty:
        return np.empty(0, dtype=np.int64)
    days = math.ceil(window_days / MOST_BLOCKS)
    moments = times.to_numpy(dtype="datetime64[s]").astype(np.int64)
    return (moments - int(pd.Timestamp(times.min()).normalize().timestamp())) // (days * 86_400)


def design_effect(codes: Ints, levels: int, blocks: Ints | None, *, ordered: bool) -> float:
    """At least 1: how much the shares of a column vary between blocks, compared with independent rows.

    `codes` int64[n] below `levels` are the column's values, or its bins, which are `ordered`: shares are then those of
    all values up to one, as the Kolmogorov-Smirnov test compares them. The ratio is taken of sums over the levels
    (the mean of Rao and Scott, 1981, weighted by their variance): a single level of a few blocks says little.
    `blocks` int64[n] count from 0, with few gaps.
    """
    if blocks is None or not len(codes):
        return 1.0
    table = np.bincount(blocks * levels + codes, minlength=(int(blocks.max()) + 1) * levels).astype(np.float64)
    table = table.reshape(-1, levels)
    table = table[table.any(axis=1)]
    count, rows = len(table), table.sum(axis=1, keepdims=True)
    if count < 2:
        return 1.0
    if ordered:
        table = table.cumsum(axis=1)[:, :-1]
    share = table.sum(axis=0) / rows.sum()
    independent = float((share * (1 - share)).sum() * rows.sum())
    if independent <= 0:
        return 1.0
    between = float(np.square(table - rows * share).sum() * count / (count - 1))
    return max(1.0, between / independent)
