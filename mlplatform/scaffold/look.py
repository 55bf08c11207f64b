"""Looks at every column of a table in DuckDB, over all rows, some columns at a time."""

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
_INFINITE = ("inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity")
MARKERS = (*TEXT_MARKERS, "None", "none", "?", "-", "--", ".", "missing", "unknown", "Unknown", *_INFINITE)
"""The same among numbers and times, where they can mean nothing else."""
_AT_ONCE = 10
"""Columns that are copied out and looked at together: planning time grows with the square (2 s for 50)."""
_PART = "part"
_FOREIGN_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%m/%d/%y")
_FOREIGN_CLOCK = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


def look(con: duckdb.DuckDBPyConnection) -> Profile:
    """What the table `incoming` holds.

    Raises ScaffoldError where it has no rows.
    """
    rows = row_count(con)
    if not rows:
        raise ScaffoldError("the table has no rows, only names of columns; there is nothing to learn from")
    fields = list(con.execute(f"SELECT * FROM {TABLE} LIMIT 0").to_arrow_table().schema)
    columns = [column for some in _chunks(fields) for column in _look_at(con, some, rows)]
    return Profile(tuple(columns), rows, duplicate_rows(con))


def typed_sql(column: Column) -> str:
    """SQL: the column's values in the type that was found, missing ones NULL."""
    return _typed(column, f"nullif(trim(CAST({quote(column.name)} AS VARCHAR)), '')")


def _typed(column: Column, value: str) -> str:
    value = _without(value, column.markers)
    match column.kind:
        case "integer":
            return f"TRY_CAST({value} AS BIGINT)"
        case "float":
            # As the platform's own casts do: what is infinite is no value.
            number = f"TRY_CAST({value} AS DOUBLE)"
            return f"CASE WHEN isfinite({number}) THEN {number} END"
        case "boolean":
            return f"TRY_CAST({value} AS BOOLEAN)"
        case "timestamp":
            return timestamp_sql(value, pa.string())
        case _:
            return value


def _without(value: str, markers: Sequence[str]) -> str:
    if not markers:
        return value
    return f"CASE WHEN {value} NOT IN ({_listed(markers)}) THEN {value} END"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def _chunks(fields: Sequence[pa.Field]) -> Iterator[Sequence[pa.Field]]:
    for start in range(0, len(fields), _AT_ONCE):
        yield fields[start : start + _AT_ONCE]


def _look_at(con: duckdb.DuckDBPyConnection, fields: Sequence[pa.Field], rows: int) -> list[Column]:
    """The columns of some fields: their texts are copied to `part` as t0, t1, ..., so that statements stay short."""
    texts = [f"nullif(trim(CAST({quote(field.name)} AS VARCHAR)), '') AS t{at}" for at, field in enumerate(fields)]
    # Stored, not derived: DuckDB's planning of a hundred aggregates over derived columns took seconds.
    bare = [f"{_without(f't{at}', MARKERS)} AS v{at}" for at in range(len(fields))]
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_PART} AS SELECT *, {', '.join(bare)} "
        f"FROM (SELECT {', '.join(texts)} FROM {TABLE})"
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
    told = _one_row(con, asked, _PART)
    return [_column(con, field, rows, f"t{at}", told[6 * at : 6 * at + 6]) for at, field in enumerate(fields)]


def _column(con: duckdb.DuckDBPyConnection, field: pa.Field, rows: int, text: str, told: Sequence[Any]) -> Column:
    known, given, whole, numbers, truths, codes = told
    markers = _markers(con, text) if given != known else ()
    kind = _kind(field.type, known, whole, numbers, truths, codes)
    if kind == "string" and _are_times(con, text):
        kind = "timestamp"
    if kind != "string":
        return Column(field.name, kind, rows, rows - known, 0, markers=markers)
    # A text may well be called "unknown".
    meant = tuple(marker for marker in markers if marker in TEXT_MARKERS)
    return Column(field.name, kind, rows, rows - given, 0, markers=meant)


def _markers(con: duckdb.DuckDBPyConnection, text: str) -> tuple[str, ...]:
    found = con.execute(f"SELECT DISTINCT {text} FROM {_PART} WHERE {text} IN ({_listed(MARKERS)})").fetchall()
    return tuple(sorted(marker for (marker,) in found))


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


def _are_times(con: duckdb.DuckDBPyConnection, text: str) -> bool:
    """Whether all values are; ten of them are asked first, because reading a time is slow."""
    value = _without(text, MARKERS)
    moment = timestamp_sql("v", pa.string())
    for some in ("LIMIT 10", ""):
        source = f"(SELECT {value} AS v FROM {_PART} WHERE {value} IS NOT NULL {some})"
        known, times = _one_row(con, ["count(v)", f"count({moment})"], source)
        if known != times:
            return False
    return True


def _ranges(con: duckdb.DuckDBPyConnection, columns: Sequence[Column]) -> list[Column]:
    """Range, length and number of values, in the type that was found."""
    typed = ", ".join(f"t{at}, {_typed(column, f't{at}')} AS v{at}" for at, column in enumerate(columns))
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
    told = _one_row(con, asked, f"(SELECT {typed} FROM {_PART})")
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
    value = _typed(column, text)
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
        column = replace(column, distinct=int(_one_row(con, [f"count(DISTINCT {value})"], _PART)[0]))
    return replace(column, looks_like=_looks_like(con, value)) if column.kind == "string" else column


def _looks_like(con: duckdb.DuckDBPyConnection, value: str) -> str | None:
    """A date or a number in a writing that is not read, by a hundred values."""
    some = f"(SELECT {value} AS v FROM {_PART} WHERE {value} IS NOT NULL LIMIT 100)"
    if not _one_row(con, ["bool_and(regexp_matches(v, '[0-9]'))"], some)[0]:
        return None
    forms = [day + clock for day in _FOREIGN_DATES for clock in _FOREIGN_CLOCK]
    tried = [f"count(try_strptime(v, '{form}')) = count(*)" for form in forms]
    comma = "count(*) FILTER (regexp_matches(v, '^-?[0-9][0-9.]*,[0-9]+$')) = count(*)"
    answer = _one_row(con, [*tried, comma], some)
    fitting = [form for form, fits in zip(forms, answer, strict=False) if fits]
    if fitting:
        return f"dates written as {fitting[0]}"
    return "numbers written with a decimal comma" if answer[-1] else None


def _one_row(con: duckdb.DuckDBPyConnection, asked: Sequence[str], source: str) -> tuple[Any, ...]:
    row = con.execute(f"SELECT {', '.join(asked)} FROM {source}").fetchone()
    assert row is not None, "an aggregate has one row"
    return tuple(row)
