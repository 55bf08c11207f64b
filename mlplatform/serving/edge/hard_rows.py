"""Rows on which a copy of a model goes wrong first: beside thresholds, missing, unseen, at the ends of what is allowed.

And rows that must be refused, for a copy that takes too much is wrong, too.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from mlplatform.serving.column import LARGEST, Column
from mlplatform.serving.identity import Identity

__all__ = ["hard_rows", "wrong_rows"]

Row = dict[str, Any]

CUTS_TRIED = 60
"""Thresholds of each feature, with the numbers on both sides of each; spread over all there are."""
CATEGORIES_TRIED = 200
MIXED_ROWS = 500
_SMALL = (0.0, -0.0, 1e-35, -1e-35, float(np.float32(1e-35)), 5e-324, 1e-300)
_UNSEEN: Mapping[str, Sequence[Any]] = {
    "string": ("", "?", "never seen", "naïve ☃"),
    "integer": (0, -1, 10**9),
    "float": (0.5, -1.0, 1e9),
    "boolean": (False, True),
}
_WRONG: Sequence[Any] = (None, "12", 1, 1.5, True, [], {}, -(10**30), 1e308, "")


def hard_rows(
    columns: Sequence[Column], base: Sequence[Row], cuts: Mapping[str, set[float]], seed: int = 0
) -> list[Row]:
    """Rows that the contract allows: each of `base` with one feature replaced, and rows of such values only.

    `cuts`: the values of a feature at which the model decides.
    """
    values = {column.name: _allowed(column, _tried(column, cuts.get(column.name, set()))) for column in columns}
    single = [(name, value) for name, tried in values.items() for value in tried]
    replaced = [{**base[at % len(base)], name: value} for at, (name, value) in enumerate(single)]
    random = np.random.default_rng(seed)
    mixed = [
        {name: tried[random.integers(len(tried))] if tried else base[0][name] for name, tried in values.items()}
        for _ in range(MIXED_ROWS)
    ]
    return [*replaced, *mixed]


def wrong_rows(columns: Sequence[Column], base: Row, identity: Identity) -> list[Any]:
    """What is no row, or has a field that is absent, of another type, out of range, misspelt or unknown."""
    rows: list[Any] = [None, [], "text", 1, {}, {**base, "no_such_feature": 1}]
    for column in columns:
        rest = {name: value for name, value in base.items() if name != column.name}
        beyond = [math.nextafter(column.low, -math.inf), math.nextafter(column.high, math.inf)]
        rows += [rest, {**rest, f"{column.name}x": base[column.name]}]
        rows += [{**base, column.name: value} for value in (*_WRONG, *filter(math.isfinite, beyond))]
    times = ("1899-12-31T23:59:59", "2200-01-01", "2020-02-30", "today", 1, None, "2020-01-01T00:00:00+01:00")
    if identity.event_time:
        rows += [{**base, identity.event_time: time} for time in times]
    for key in identity.keys:
        rows += [{**base, key: value} for value in (2**63, "x" * 257, None, 1.5, True, 7, 7.0, 1e19, "seven")]
    return rows


def _tried(column: Column, cuts: set[float]) -> list[Any]:
    if column.listed is not None or column.codes is not None:
        known = [*(column.listed or ()), *(column.codes or ())]
        kept = list(islice(sorted(set(known), key=str), CATEGORIES_TRIED))
        return [None, *kept, *_UNSEEN[column.kind]]
    if column.kind == "boolean":
        return [None, False, True]
    beside = [near for cut in _spread(sorted(cuts)) for near in _neighbours(cut)]
    ends = [column.low, column.high, *(end for end in (-1e300, 1e300) if LARGEST in (-column.low, column.high))]
    numbers = [number for number in (*beside, *ends, *_SMALL) if math.isfinite(number)]
    if column.kind == "integer":
        return [None, *sorted({int(number) for number in numbers if abs(number) < 2**63})]
    return [None, *numbers]


def _neighbours(cut: float) -> tuple[float, ...]:
    """The threshold, the next numbers on both sides, and what float32 would make of it; whole ones for integers."""
    rounded = float(np.float32(min(max(cut, -3e38), 3e38)))
    beside = (math.nextafter(cut, -math.inf), math.nextafter(cut, math.inf))
    return (cut, *beside, rounded, math.floor(cut), math.ceil(cut))


def _spread(cuts: list[float]) -> list[float]:
    if len(cuts) <= CUTS_TRIED:
        return cuts
    return [cuts[at] for at in np.linspace(0, len(cuts) - 1, CUTS_TRIED).astype(int)]


def _allowed(column: Column, values: Sequence[Any]) -> list[Any]:
    """Those that the contract takes; a value that it refuses is told in words."""
    return [value for value in values if not isinstance(column.convert(value), str)]
