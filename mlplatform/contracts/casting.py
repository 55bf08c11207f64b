"""Turns values as they arrived (text of a CSV, types of a Parquet file) into the types of a contract, as DuckDB SQL.

A value that cannot be turned becomes NULL here and is named by `check_rows`; nothing is rounded or guessed on the way.
"""

from datetime import datetime

import pyarrow as pa

from mlplatform.contracts.types import ColumnType

__all__ = ["EARLIEST", "LATEST", "bounded_sql", "cast_sql", "given_sql", "quote", "timestamp_sql"]

# Years that Python's datetime can hold; DuckDB reads `infinity` as a time, too.
EARLIEST, LATEST = datetime(1, 1, 2), datetime(9999, 12, 30)


def quote(name: str) -> str:
    """A column's name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def given_sql(column: str, arrives_as: pa.DataType) -> str:
    """SQL: was there a value? An empty or blank text is none, nor is a floating NaN."""
    if _is_text(arrives_as):
        return f"nullif(trim({column}), '') IS NOT NULL"
    if pa.types.is_floating(arrives_as):
        return f"({column} IS NOT NULL AND NOT isnan({column}))"
    return f"{column} IS NOT NULL"


def cast_sql(column: str, arrives_as: pa.DataType, to: ColumnType) -> str:
    """SQL: the value in the contract's type, NULL where it is missing or cannot be turned; see `bounded_sql`."""
    if to.kind == "string":
        return f"CAST({column} AS VARCHAR)"
    if to.kind == "timestamp":
        return timestamp_sql(column, arrives_as)
    if not (pa.types.is_integer(arrives_as) or pa.types.is_floating(arrives_as) or pa.types.is_boolean(arrives_as)):
        column = f"CAST({column} AS VARCHAR)"
    if to.kind == "boolean" and _is_text(arrives_as):
        # Around a number DuckDB overlooks blanks, around a truth it does not.
        column = f"trim({column})"
    cast = f"TRY_CAST({column} AS {to.sql})"
    if to.kind == "integer":
        # TRY_CAST rounds: 1.5 would silently become 2.
        return f"CASE WHEN TRY_CAST({column} AS DOUBLE) = {cast} THEN {cast} END"
    return cast


def bounded_sql(column: str, to: ColumnType) -> str:
    """SQL: a value that `cast_sql` gave, NULL where it lies outside of what a contract's type can hold.

    On its own, so that the cast behind it is done once: in one expression it was done twice, for 1.7 times as long.
    """
    if to.kind == "timestamp":
        return f"CASE WHEN {column} BETWEEN TIMESTAMP '{EARLIEST}' AND TIMESTAMP '{LATEST}' THEN {column} END"
    return f"CASE WHEN isfinite({column}) THEN {column} END" if to.kind == "float" else column


def timestamp_sql(column: str, arrives_as: pa.DataType) -> str:
    """SQL: a UTC timestamp without zone; the connection's TimeZone must be UTC.

    A cast of text straight to TIMESTAMP ignores an offset such as +02:00; through TIMESTAMPTZ it counts, at seven times
    the cost. So text that has no room for an offset takes the short way.
    """
    if pa.types.is_timestamp(arrives_as) or pa.types.is_date(arrives_as):
        return f"CAST({column} AS TIMESTAMP)"
    text = f"CAST({column} AS VARCHAR)"
    digits = f"NOT contains({text}, '+') AND TRY_CAST({text}[21:] AS UINTEGER) IS NOT NULL"
    fraction = f"{text} LIKE '____-__-_____:__:__.%' AND {digits}"
    return (
        f"CASE WHEN {text} LIKE '____-__-_____:__:__' OR ({fraction}) THEN TRY_CAST({text} AS TIMESTAMP) "
        f"ELSE CAST(TRY_CAST({text} AS TIMESTAMPTZ) AS TIMESTAMP) END"
    )


def _is_text(arrives_as: pa.DataType) -> bool:
    return any(is_one(arrives_as) for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
