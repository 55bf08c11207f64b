"""How many independent rows are the rows of a window worth? Days differ, and rows of one day are alike.

The design effect is the variance of a share in the rows at hand over its variance in as many independent rows (Kish,
1965, "Survey Sampling"). Rows divided by it are the effective rows; the tests of drift count those. Blocks of time play
the part of clusters: the method of batch means for autocorrelated series.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["Ints", "effective_rows", "time_blocks"]

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


def effective_rows(
    samples: Sequence[Ints], levels: int, blocks: Sequence[Ints | None], *, ordered: bool
) -> tuple[float, ...]:
    """How many independent rows each sample of one column is worth; no more than it has.

    A sample's codes, int64[n] below `levels`, are the column's values, or its bins, which are `ordered`: shares are
    then those of all values up to one, as the Kolmogorov-Smirnov test compares them. Its blocks, int64[n], count from 0
    with few gaps; None: its rows are independent.

    How alike the rows of a block are is estimated from all samples together, each by the number of its blocks: the
    seven days of a window say little, the weeks of the reference say more. Without drift they are equally alike.
    """
    found = [_clustering(codes, levels, block, ordered) for codes, block in zip(samples, blocks, strict=True)]
    known = [each for each in found if each is not None]
    freedom = sum(each.freedom for each in known)
    alike = max(0.0, sum(each.alike * each.freedom for each in known) / freedom) if freedom else 0.0
    return tuple(
        len(codes) if each is None else len(codes) / (1 + alike * max(0.0, each.size - 1))
        for codes, each in zip(samples, found, strict=True)
    )


@dataclass(frozen=True)
class _Clustering:
    """`alike`: correlation of two rows of a block; `size`: rows of a block, as the mean row sees it."""

    alike: float
    size: float
    freedom: int


def _clustering(codes: Ints, levels: int, blocks: Ints | None, ordered: bool) -> _Clustering | None:
    """None where nothing can be told: of one block, or of a column of one value.

    The design effect is a ratio of sums over the levels (the mean of Rao and Scott, 1981, weighted by their variance):
    a single level says little.
    """
    if blocks is None or not len(codes):
        return None
    table = np.bincount(blocks * levels + codes, minlength=(int(blocks.max()) + 1) * levels).astype(np.float64)
    table = table.reshape(-1, levels)
    table = table[table.any(axis=1)]
    count, rows = len(table), table.sum(axis=1, keepdims=True)
    size = float(np.square(rows).sum() / rows.sum())
    if ordered:
        table = table.cumsum(axis=1)[:, :-1]
    share = table.sum(axis=0) / rows.sum()
    independent = float((share * (1 - share)).sum() * rows.sum())
    if count < 2 or size <= 1 or independent <= 0:
        return None
    between = float(np.square(table - rows * share).sum() * count / (count - 1))
    return _Clustering((between / independent - 1) / (size - 1), size, count - 1)
