"""How the values of a text column are written: as times, as numbers with a comma, as numbers with a few other texts."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.contracts.casting import timestamp_sql
from mlplatform.ingest.adapted import DECIMAL_COMMA
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.typed import given_sql, without_markers

__all__ = [
    "JSON",
    "MOST_TEXTS",
    "are_long_numbers",
    "are_times",
    "has_decimal_comma",
    "looks_like",
    "one_row",
    "texts_among_numbers",
    "unreadable_times",
]

_FOREIGN_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%m/%d/%y")
_FOREIGN_CLOCK = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
_THOUSANDS = "^[-+]?[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?$"
"""1,234.5: the comma may part thousands."""
JSON = "JSON"
MOST_TEXTS = 10
"""So many texts among numbers can be declared to mean that there is none."""
_LEAST_NUMBERS = 50
"""Of fewer different numbers the whole may well be a list of categories, such as 1 to 9 and "10 and more"."""
_SAMPLE = 100
_LONG = 17
"""Digits from which on a floating number may stand for several whole ones."""


def are_times(con: duckdb.DuckDBPyConnection, part: str, value: str) -> bool:
    """Whether all values of `value` in the table `part` are; ten are asked first, because reading a time is slow."""
    moment = timestamp_sql("v", pa.string())
    for some in ("LIMIT 10", ""):
        source = f"(SELECT {value} AS v FROM {part} WHERE {value} IS NOT NULL {some})"
        known, times = one_row(con, ["count(v)", f"count({moment})"], source)
        if known != times:
            return False
    return True


def are_long_numbers(con: duckdb.DuckDBPyConnection, part: str, value: str) -> bool:
    """Whether all values are whole, and most have more digits than a floating number holds: then they are names."""
    asked = [
        f"count({value}) = count(*) FILTER (regexp_matches({value}, '^[-+]?[0-9]+$'))",
        f"2 * count(*) FILTER (length({value}) >= {_LONG}) >= count({value})",
    ]
    return all(one_row(con, asked, part))


def unreadable_times(con: duckdb.DuckDBPyConnection, column: Column) -> tuple[int, list[str]]:
    """How many values of a column are no times, and the most frequent of them."""
    value = without_markers(given_sql(column.name))
    moment = timestamp_sql("v", pa.string())
    source = f"FROM (SELECT {value} AS v FROM {TABLE}) WHERE v IS NOT NULL AND ({moment}) IS NULL"
    some = con.execute(f"SELECT v {source} GROUP BY v ORDER BY count(*) DESC, v LIMIT 3").fetchall()
    return int(one_row(con, ["count(*)"], source.removeprefix("FROM "))[0]), [text for (text,) in some]


def has_decimal_comma(con: duckdb.DuckDBPyConnection, part: str, value: str) -> bool:
    """Whether all values are numbers with a comma before the decimals: not all of them can be thousands."""
    asked = [
        f"count(*) FILTER (NOT regexp_matches(v, '{DECIMAL_COMMA}'))",
        "count(*) FILTER (contains(v, ','))",
        f"count(*) FILTER (contains(v, ',') AND NOT regexp_matches(v, '{_THOUSANDS}'))",
    ]
    for some in (f"LIMIT {_SAMPLE}", ""):
        source = f"(SELECT {value} AS v FROM {part} WHERE {value} IS NOT NULL {some})"
        others, with_comma, decimal = one_row(con, asked, source)
        # Among a hundred whole numbers there may be none with a comma.
        if others or (not some and not (with_comma and decimal)):
            return False
    return True


def texts_among_numbers(
    con: duckdb.DuckDBPyConnection, part: str, value: str, known: int, numbers: int
) -> tuple[str, ...]:
    """The texts among many different numbers, at most `MOST_TEXTS` and one; empty where it is no column of numbers."""
    if numbers < 0.9 * known:
        return ()
    number = f"TRY_CAST({value} AS DOUBLE)"
    if one_row(con, [f"approx_count_distinct({number})"], part)[0] < _LEAST_NUMBERS:
        return ()
    found = con.execute(
        f"SELECT {value} AS v FROM {part} WHERE {value} IS NOT NULL AND {number} IS NULL "
        f"GROUP BY v ORDER BY count(*) DESC, v LIMIT {MOST_TEXTS + 1}"
    ).fetchall()
    return tuple(text for (text,) in found)


def looks_like(con: duckdb.DuckDBPyConnection, part: str, value: str) -> str | None:
    """JSON, or a date or a number in a writing that is not read, by a hundred values."""
    some = f"(SELECT {value} AS v FROM {part} WHERE {value} IS NOT NULL LIMIT {_SAMPLE})"
    if one_row(con, ["bool_and(left(v, 1) IN ('{', '[') AND json_valid(v))"], some)[0]:
        return JSON
    if not one_row(con, ["bool_and(regexp_matches(v, '[0-9]'))"], some)[0]:
        return None
    forms = [day + clock for day in _FOREIGN_DATES for clock in _FOREIGN_CLOCK]
    bare = "regexp_replace(v, '[$€£¥%[:space:]]', '', 'g')"
    writings = {
        **{f"dates written as {form}": f"try_strptime(v, '{form}') IS NOT NULL" for form in forms},
        "numbers with commas": f"regexp_matches(v, '{_THOUSANDS}')",
        "numbers with a sign beside them": f"TRY_CAST({bare} AS DOUBLE) IS NOT NULL AND {bare} <> v",
    }
    fits = one_row(con, [f"bool_and({rule})" for rule in writings.values()], some)
    return next((writing for writing, fit in zip(writings, fits, strict=True) if fit), None)


def one_row(con: duckdb.DuckDBPyConnection, asked: Sequence[str], source: str) -> tuple[Any, ...]:
    """The one row of aggregates over `source`, a table or a query in brackets."""
    row = con.execute(f"SELECT {', '.join(asked)} FROM {source}").fetchone()
    assert row is not None, "an aggregate has one row"
    return tuple(row)
