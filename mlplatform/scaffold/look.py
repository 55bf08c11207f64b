"""Looks at every column of a table in DuckDB, over all rows, some columns at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.contracts.casting import quote
from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.column import Column, Kind, Profile
from mlplatform.scaffold.open_rows import TABLE, column_comments, duplicate_rows, row_count
from mlplatform.scaffold.typed import TEXT_MARKERS, given_sql, listed, typed, without_markers
from mlplatform.scaffold.writing import (
    MOST_TEXTS,
    are_long_numbers,
    are_times,
    has_decimal_comma,
    looks_like,
    one_row,
    texts_among_numbers,
)

__all__ = ["FEW_VALUES", "look"]

FEW_VALUES = 100
"""Of columns with no more values than this all of them are counted."""
_MOST_MARKERS = 50
_AT_ONCE = 10
"""Columns that are copied out and looked at together: planning time grows with the square (2 s for 50)."""
_PART = "part"
_SLICE, _SLICED = 500, "slice"


def look(con: duckdb.DuckDBPyConnection) -> Profile:
    """What the table `incoming` holds.

    Raises ScaffoldError where it has no rows.
    """
    rows = row_count(con)
    if not rows:
        raise ScaffoldError("the table has no rows, only names of columns; there is nothing to learn from")
    fields = list(con.execute(f"SELECT * FROM {TABLE} LIMIT 0").to_arrow_table().schema)
    columns: list[Column] = []
    for part in _chunks(fields, _SLICE):
        source = _sliced(con, part, len(fields))
        columns += [column for some in _chunks(part, _AT_ONCE) for column in _look_at(con, some, source, rows)]
    units = column_comments(con)
    with_units = tuple(replace(each, unit=units.get(each.name)) for each in columns)
    return Profile(with_units, rows, duplicate_rows(con))


def _chunks(fields: Sequence[pa.Field], size: int) -> Iterator[Sequence[pa.Field]]:
    for start in range(0, len(fields), size):
        yield fields[start : start + size]


def _sliced(con: duckdb.DuckDBPyConnection, fields: Sequence[pa.Field], columns: int) -> str:
    """The table to ask for some columns: on one of thousands even the smallest statement takes its time."""
    if columns <= _SLICE:
        return TABLE
    names = ", ".join(quote(field.name) for field in fields)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_SLICED} AS SELECT {names} FROM {TABLE}")
    return _SLICED


def _look_at(con: duckdb.DuckDBPyConnection, fields: Sequence[pa.Field], source: str, rows: int) -> list[Column]:
    """The columns of some fields: their texts are copied to `part` as t0, t1, ..., so that statements stay short."""
    texts = [f"{given_sql(field.name)} AS t{at}" for at, field in enumerate(fields)]
    # Stored, not derived: DuckDB's planning of a hundred aggregates over derived columns took seconds.
    bare = [f"{without_markers(f't{at}')} AS v{at}" for at in range(len(fields))]
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_PART} AS SELECT *, {', '.join(bare)} "
        f"FROM (SELECT {', '.join(texts)} FROM {source})"
    )
    found = _kinds(con, fields, rows)
    ranged = _ranges(con, found)
    return [_with_values(con, column, f"t{at}") for at, column in enumerate(ranged)]


def _kinds(con: duckdb.DuckDBPyConnection, fields: Sequence[pa.Field], rows: int) -> list[Column]:
    """Which kind each is: how many values can be read as what."""
    asked = []
    for at in range(len(fields)):
        asked += [
            f"count(v{at})",
            f"count(t{at})",
            f"count(TRY_CAST(v{at} AS BIGINT)) FILTER (NOT regexp_matches(v{at}, '[.eE]'))",
            f"count(TRY_CAST(v{at} AS DOUBLE))",
            f"count(*) FILTER (lower(v{at}) IN ('true', 'false', 'yes', 'no', 't', 'f', 'y', 'n'))",
            # A number with a leading zero is a code: a postal code, an account.
            f"count(*) FILTER (regexp_matches(v{at}, '^0[0-9]'))",
        ]
    told = one_row(con, asked, _PART)
    return [_column(con, field, rows, at, told[6 * at : 6 * at + 6]) for at, field in enumerate(fields)]


def _column(con: duckdb.DuckDBPyConnection, field: pa.Field, rows: int, at: int, told: Sequence[Any]) -> Column:
    known, given, whole, numbers, truths, codes = told
    text, value = f"t{at}", f"v{at}"
    kind = _kind(field.type, known, whole, numbers, truths, codes)
    if kind == "float" and not pa.types.is_floating(field.type) and are_long_numbers(con, _PART, value):
        kind, codes = "string", known
    column = Column(field.name, kind, rows, rows - known, 0)
    if kind == "string" and are_times(con, _PART, value):
        column = replace(column, kind="timestamp")
    elif kind == "string" and has_decimal_comma(con, _PART, value):
        column = replace(column, kind="float", decimal_comma=True)
    elif kind == "string":
        return _of_texts(con, column, at, 0 if codes else numbers)
    # What is infinite, or too large, is no number to the contract either.
    endless = f" OR isinf(TRY_CAST({text} AS DOUBLE))" if column.is_number else ""
    some = given != known or column.kind == "float"
    return replace(column, markers=_markers(con, f"{value} IS NULL{endless}", text) if some else ())


def _of_texts(con: duckdb.DuckDBPyConnection, column: Column, at: int, numbers: int) -> Column:
    """A text; or numbers but for a few texts, which mean that there is none; `numbers`: how many values are."""
    text, value = f"t{at}", f"v{at}"
    if not (others := texts_among_numbers(con, _PART, value, column.known, numbers)):
        # A text may well be called "unknown".
        rule = f"{text} IN ({listed(TEXT_MARKERS)})"
        return replace(column, markers=_markers(con, rule, text))
    if len(others) > MOST_TEXTS:
        wrong = column.known - numbers
        return replace(
            column, looks_like=f"numbers but for {wrong:,} values, such as {', '.join(map(repr, others[:3]))}"
        )
    known = f"{value} IS NULL OR {value} IN ({listed(others)}) OR isinf(TRY_CAST({text} AS DOUBLE))"
    return replace(column, kind="float", markers=_markers(con, known, text), texts=others)


def _markers(con: duckdb.DuckDBPyConnection, rule: str, text: str) -> tuple[str, ...]:
    """The texts of a column that a rule takes for none, each as it is written."""
    rows = f"FROM {_PART} WHERE {text} IS NOT NULL AND ({rule})"
    found = con.execute(f"SELECT DISTINCT {text} AS t {rows} ORDER BY t LIMIT {_MOST_MARKERS}").fetchall()
    return tuple(marker for (marker,) in found)


def _kind(arrives_as: pa.DataType, known: int, whole: int, numbers: int, truths: int, codes: int) -> Kind:
    if not known:
        return "empty"
    if pa.types.is_timestamp(arrives_as) or pa.types.is_date(arrives_as):
        return "timestamp"
    if pa.types.is_boolean(arrives_as) or truths == known:
        return "boolean"
    if codes:
        return "string"
    if pa.types.is_floating(arrives_as) or numbers == known:
        return "integer" if whole == known else "float"
    return "string"


def _ranges(con: duckdb.DuckDBPyConnection, columns: Sequence[Column]) -> list[Column]:
    """Range, length and number of values, in the type that was found."""
    values = ", ".join(f"t{at}, {typed(column, f't{at}')} AS v{at}" for at, column in enumerate(columns))
    asked = []
    for at, column in enumerate(columns):
        number = f"CAST(v{at} AS DOUBLE)" if column.is_number else "CAST(NULL AS DOUBLE)"
        moment = f"v{at}" if column.kind == "timestamp" else "CAST(NULL AS TIMESTAMP)"
        asked += [
            f"count(v{at})",
            f"approx_count_distinct(v{at})",
            f"min({number})",
            f"max({number})",
            f"CAST(min({moment}) AS VARCHAR)",
            f"CAST(max({moment}) AS VARCHAR)",
            f"avg(length(t{at}))",
            f"avg(1 + length(t{at}) - length(replace(t{at}, ' ', '')))",
        ]
    told = one_row(con, asked, f"(SELECT {values} FROM {_PART})")
    return [_ranged(column, told[8 * at : 8 * at + 8]) for at, column in enumerate(columns)]


def _ranged(column: Column, told: Sequence[Any]) -> Column:
    known, distinct, low, high, first, last, length, words = told
    return replace(
        column,
        missing=column.rows - known,
        distinct=distinct,
        minimum=low,
        maximum=high,
        first=first,
        last=last,
        mean_length=float(length or 0),
        mean_words=float(words or 0),
    )


def _with_values(con: duckdb.DuckDBPyConnection, column: Column, text: str) -> Column:
    """Counts of all values where there are few, exact numbers of them where they matter, and foreign dates."""
    value = typed(column, text)
    if column.kind == "empty":
        return column
    if column.distinct <= 2 * FEW_VALUES:
        counted = con.execute(
            f"SELECT CAST({value} AS VARCHAR) AS v, count(*) AS n FROM {_PART} WHERE {value} IS NOT NULL "
            f"GROUP BY v ORDER BY n DESC, v"
        ).fetchall()
        few = tuple((str(said), int(rows)) for said, rows in counted) if len(counted) <= FEW_VALUES else ()
        column = replace(column, distinct=len(counted), values=few)
    elif column.distinct > 0.8 * column.known:
        column = replace(column, distinct=int(one_row(con, [f"count(DISTINCT {value})"], _PART)[0]))
    if column.kind != "string" or column.looks_like:
        return column
    return replace(column, looks_like=looks_like(con, _PART, value))
