"""Whether the first line of a CSV file names the columns, or is a row already.

DuckDB's own guess takes a table of texts for one without a header; here a first line is a row where most of its fields
look like values, or are values of their own column.
"""

from collections.abc import Sequence
from itertools import pairwise

import duckdb

from mlplatform.contracts.casting import quote
from mlplatform.errors import ScaffoldError
from mlplatform.ingest.dialect import text_sql
from mlplatform.scaffold.open_rows import TABLE, column_names

__all__ = ["require_header"]

_SOME = 50
"""So many columns tell enough; of the rows all are asked."""
_LEAST = 3


def require_header(con: duckdb.DuckDBPyConnection, place: str) -> None:
    """Raises ScaffoldError where the table `incoming`, read from the CSV file at `place`, had a row for its names."""
    names = column_names(con)
    numbers = _values(con, names)
    if _count_up(numbers):
        return
    rest = [name for name in names[:_SOME] if name not in numbers]
    wrong = len(numbers) + _repeated(con, rest)
    if wrong and 2 * wrong >= len(numbers) + len(rest):
        raise ScaffoldError(
            f"{place} has no header: its first line says {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}, "
            "which look like values. Put a line with the names of the columns before it."
        )


def _values(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """Those that are a number or a date; an empty name was given one already, by its place."""
    asked = "TRY_CAST(name AS DOUBLE) IS NOT NULL OR TRY_CAST(name AS TIMESTAMP) IS NOT NULL"
    found = con.execute(f"SELECT name FROM (SELECT unnest($names) AS name) WHERE {asked}", {"names": names}).fetchall()
    wrong = {name for (name,) in found}
    return [name for name in names if name in wrong]


def _count_up(names: Sequence[str]) -> bool:
    """0, 1, 2, ... or 2019, 2020, 2021: names that an array has, or a table of years."""
    whole = [int(name) for name in names if name.strip().isdigit()]
    steps = {right - left for left, right in pairwise(whole)}
    return len(whole) == len(names) >= _LEAST and steps == {1}


def _repeated(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> int:
    """How many names are a value in their own column, too."""
    if not names:
        return 0
    asked = ", ".join(f"coalesce(bool_or(CAST({quote(name)} AS VARCHAR) = {text_sql(name)}), false)" for name in names)
    return sum(con.execute(f"SELECT {asked} FROM {TABLE}").fetchone() or ())
