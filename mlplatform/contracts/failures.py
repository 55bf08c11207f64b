"""What was wrong with which rows, in words a person can act on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

__all__ = ["MISSING", "Failure", "reasons", "requirement", "summary"]

MISSING = "is missing"
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Failure:
    """One broken rule: the column (empty for a rule over several), what it demands, and the positions of the rows."""

    column: str
    check: str
    rows: npt.NDArray[np.int64]


def requirement(check: Any) -> str:
    """A pandera check as the rest of a sentence that begins with the column and its value."""
    values = check.statistics or {}
    match check.name:
        case "greater_than_or_equal_to":
            return f"must be at least {values['min_value']}"
        case "greater_than":
            return f"must be above {values['min_value']}"
        case "less_than_or_equal_to":
            return f"must be at most {values['max_value']}"
        case "less_than":
            return f"must be below {values['max_value']}"
        case "in_range":
            return f"must lie between {values['min_value']} and {values['max_value']}"
        case "isin":
            return f"must be one of {', '.join(map(str, sorted(values['allowed_values'])))}"
        case _:
            return f"breaks the rule `{check.error or check.name}`"


def reasons(failures: Iterable[Failure], table: pa.Table) -> "pd.Series[Any]":
    """Position of each bad row (ascending) -> all of its reasons, joined by "; "."""
    texts = [pd.Series(_texts(failure, table), index=failure.rows) for failure in failures if len(failure.rows)]
    if not texts:
        return pd.Series([], dtype=object, index=pd.Index([], dtype=np.int64))
    return pd.concat(texts).groupby(level=0, sort=True).agg("; ".join)


def summary(failures: Iterable[Failure], table: pa.Table) -> pd.DataFrame:
    """One line per broken rule: column, check, rows (how many), example (a value that broke it); most rows first."""
    lines = [
        (failure.column, failure.check, len(failure.rows), _values(failure, table, 1)[0])
        for failure in failures
        if len(failure.rows)
    ]
    frame = pd.DataFrame(lines, columns=["column", "check", "rows", "example"])
    return frame.sort_values("rows", ascending=False, kind="stable", ignore_index=True)


def _texts(failure: Failure, table: pa.Table) -> list[str]:
    if failure.check == MISSING:
        return [f"{failure.column} {MISSING}"] * len(failure.rows)
    if not failure.column:
        return [failure.check] * len(failure.rows)
    return [f"{failure.column} '{value}' {failure.check}" for value in _values(failure, table, len(failure.rows))]


def _values(failure: Failure, table: pa.Table, limit: int) -> list[str]:
    """The first values as they arrived, cut to a length that fits a table."""
    if failure.column not in table.column_names:
        return [""] * limit
    values = table[failure.column].take(pa.array(failure.rows[:limit]))
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.string())  # a year beyond 9999 is no datetime
    return ["" if value is None else str(value)[:_LONGEST_VALUE] for value in values.to_pylist()]
