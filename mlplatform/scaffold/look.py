"""Looks at every column of a table, in two passes of DuckDB over all rows, a hundred columns at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.contracts.casting import quote, timestamp_sql
from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.column import Column, Kind, Profile
from mlplatform.scaffold.open_rows import TABLE, duplicate_rows, row_count

__all__ = ["FEW_VALUES", "MARKERS", "TEXT_MARKERS", "look", "typed_sql"]

FEW_VALUES = 100
"""Of columns with no more values than this all of them are counted."""
TEXT_MARKERS = ("NA", "N/A", "n/a", "NULL", "null", "NaN", "nan", "#N/A", "<NA>")
"""Texts that stand for a missing value wherever they stand, as pandas reads them."""
MARKERS = (*TEXT_MARKERS, "None", "none", "?", "-", "--", ".", "missing", "unknown", "Unknown")
"""The same among numbers and times, where they can mean nothing else."""
_AT_ONCE = 100
_FOREIGN_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%m/%d/%y")
_FOREIGN_CLOCK = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


def look(con: duckdb.DuckDBPyConnection) -> Profile:
    """What the table `incoming` holds.

    Raises ScaffoldError where it has no rows.
    """
    rows = row_count(con)
    if not rows:
        raise ScaffoldError("the table has no rows, only names of columns; there is nothing to learn from")
    types = con.execute(f"SELECT * FROM {TABLE} LIMIT 0").to_arrow_table().schema
    columns: list[Column] = []
    for fields in _chunks(list(types)):
        first = _first_pass(con, fields, rows)
        columns += _second_pass(con, first, types)
    return Profile(tuple(_with_values(con, column, types) for column in columns), rows, duplicate_rows(con))


def typed_sql(column: Column, arrives_as: pa.DataType) -> str:
    """SQL: the column's values in the type that was found, missing ones NULL."""
    value = _text(quote(column.name), column.markers)
    match column.kind:
        case "integer" | "float":
            sql = "BIGINT" if column.kind == "integer" else "DOUBLE"
            return f"TRY_CAST({value} AS {sql})"
        case "boolean":
            return f"TRY_CAST({value} AS BOOLEAN)"
        case "timestamp":
            if pa.types.is_string(arrives_as):
                return timestamp_sql(value, pa.string())
            return f"CAST({quote(column.name)} AS TIMESTAMP)"
        case _:
            return value


def _chunks(fields: Sequence[pa.Field]) -> Iterator[Sequence[pa.Field]]:
    for start in range(0, len(fields), _AT_ONCE):
        yield fields[start : start + _AT_ONCE]


def _text(name: str, markers: Sequence[str]) -> str:
    value = f"nullif(trim(CAST({name} AS VARCHAR)), '')"
    if not markers:
        return value
    listed = ", ".join("'" + marker.replace("'", "''") + "'" for marker in markers)
    return f"CASE WHEN {value} NOT IN ({listed}) THEN {value} END"


def _first_pass(con: duckdb.DuckDBPyConnection, fields: Sequence[pa.Field], rows: int) -> list[Column]:
    """Which kind each is: how many values can be read as what."""
    asked, found = [], []
    for field in fields:
        value, bare = _text(quote(field.name), MARKERS), _text(quote(field.name), ())
        listed = ", ".join(f"'{marker}'" for marker in MARKERS)
        asked += [
            f"count({value})",
            f"count({bare})",
            f"count(TRY_CAST({value} AS BIGINT)) FILTER (NOT regexp_matches({value}, '[.eE]'))",
            f"count(TRY_CAST({value} AS DOUBLE)) FILTER (isfinite(TRY_CAST({value} AS DOUBLE)))",
            f"count(*) FILTER (lower({value}) IN ('true', 'false', 'yes', 'no', 't', 'f', 'y', 'n'))",
            f"count({timestamp_sql(value, pa.string())})",
            # A number with a leading zero is a code: a postal code, an account.
            f"count(*) FILTER (regexp_matches({value}, '^0[0-9]'))",
            f"list(DISTINCT CASE WHEN {bare} IN ({listed}) THEN {bare} END)",
        ]
    told = _one_row(con, asked)
    for position, field in enumerate(fields):
        found.append(_column(field, rows, told[8 * position : 8 * position + 8]))
    return found


def _column(field: pa.Field, rows: int, told: Sequence[Any]) -> Column:
    known, given, whole, numbers, truths, times, codes, markers = told
    kind = _kind(field.type, known, whole, numbers, truths, times, codes)
    if kind == "string":
        # A text may well be called "unknown".
        texts = tuple(sorted(marker for marker in markers or () if marker in TEXT_MARKERS))
        return Column(field.name, kind, rows, rows - given, 0, markers=texts)
    return Column(field.name, kind, rows, rows - known, 0, markers=tuple(sorted(m for m in markers or () if m)))


def _kind(arrives_as: pa.DataType, known: int, whole: int, numbers: int, truths: int, times: int, codes: int) -> Kind:
    if not known:
        return "empty"
    if pa.types.is_timestamp(arrives_as) or pa.types.is_date(arrives_as):
        return "timestamp"
    if pa.types.is_boolean(arrives_as) or truths == known:
        return "boolean"
    if pa.types.is_floating(arrives_as):
        return "integer" if whole == known else "float"
    if codes:
        return "timestamp" if times == known else "string"
    if whole == known:
        return "integer"
    if numbers == known:
        return "float"
    return "timestamp" if times == known else "string"


def _second_pass(con: duckdb.DuckDBPyConnection, columns: Sequence[Column], types: pa.Schema) -> list[Column]:
    """Range, length and number of values, in the type that was found."""
    asked = []
    for column in columns:
        value = typed_sql(column, types.field(column.name).type)
        text = _text(quote(column.name), column.markers)
        number = f"CAST({value} AS DOUBLE)" if column.is_number else "CAST(NULL AS DOUBLE)"
        moment = value if column.kind == "timestamp" else "CAST(NULL AS TIMESTAMP)"
        asked += [
            f"count({value})",
            f"approx_count_distinct({value})",
            f"min({number})",
            f"max({number})",
            f"CAST(min({moment}) AS VARCHAR)",
            f"CAST(max({moment}) AS VARCHAR)",
            f"avg(length({text}))",
            f"avg(1 + length({text}) - length(replace({text}, ' ', '')))",
        ]
    told = _one_row(con, asked)
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


def _with_values(con: duckdb.DuckDBPyConnection, column: Column, types: pa.Schema) -> Column:
    """Counts of all values where there are few, exact numbers of them where they matter, and foreign dates."""
    value = typed_sql(column, types.field(column.name).type)
    if column.kind == "empty":
        return column
    if column.distinct <= 2 * FEW_VALUES:
        counted = con.execute(
            f"SELECT CAST({value} AS VARCHAR) AS v, count(*) AS n FROM {TABLE} WHERE {value} IS NOT NULL "
            f"GROUP BY v ORDER BY n DESC, v"
        ).fetchall()
        few = tuple((str(text), int(rows)) for text, rows in counted) if len(counted) <= FEW_VALUES else ()
        column = replace(column, distinct=len(counted), values=few)
    elif column.distinct > 0.8 * column.known:
        exact = con.execute(f"SELECT count(DISTINCT {value}) FROM {TABLE}").fetchone()
        column = replace(column, distinct=int(exact[0]) if exact else column.distinct)
    return replace(column, looks_like=_looks_like(con, value)) if column.kind == "string" else column


def _looks_like(con: duckdb.DuckDBPyConnection, value: str) -> str | None:
    """A date or a number in a writing that is not read, by a hundred values."""
    some = f"(SELECT {value} AS v FROM {TABLE} WHERE {value} IS NOT NULL LIMIT 100)"
    forms = [day + clock for day in _FOREIGN_DATES for clock in _FOREIGN_CLOCK]
    tried = [f"count(try_strptime(v, '{form}')) = count(*)" for form in forms]
    comma = "count(*) FILTER (regexp_matches(v, '^-?[0-9][0-9.]*,[0-9]+$')) = count(*)"
    answer = con.execute(f"SELECT {', '.join([*tried, comma])} FROM {some}").fetchone() or ()
    fitting = [form for form, fits in zip(forms, answer, strict=False) if fits]
    if fitting:
        return f"dates written as {fitting[0]}"
    return "numbers written with a decimal comma" if answer and answer[-1] else None


def _one_row(con: duckdb.DuckDBPyConnection, asked: Sequence[str]) -> tuple[Any, ...]:
    row = con.execute(f"SELECT {', '.join(asked)} FROM {TABLE}").fetchone()
    assert row is not None, "an aggregate has one row"
    return tuple(row)
