"""What a Parquet file says of its columns, and DuckDB does not: names that differ in case only, and durations."""

import base64
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from mlplatform.ingest.dialect import text_sql

__all__ = ["durations", "stored_names"]

_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def stored_names(con: duckdb.DuckDBPyConnection, file: str) -> list[str]:
    """The names of the columns; `file`: a name or address as DuckDB reads it."""
    nodes = con.execute(f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({text_sql(file)})").fetchall()
    tree = iter(nodes)
    _, columns = next(tree)
    return [_column(tree) for _ in range(columns)]


def durations(con: duckdb.DuckDBPyConnection, file: str) -> dict[str, str]:
    """Columns that were durations where the file was written, and are whole numbers in it -> what they count."""
    found = con.execute(
        f"SELECT value FROM parquet_kv_metadata({text_sql(file)}) WHERE key = 'ARROW:schema'::BLOB"
    ).fetchone()
    if found is None:
        return {}
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(found[0])))
    return {field.name: _UNITS[field.type.unit] for field in schema if pa.types.is_duration(field.type)}


def _column(tree: Iterator[tuple[str, int]]) -> str:
    """The next node's name; those within it are passed over."""
    name, within = next(tree)
    for _ in range(within):
        _column(tree)
    return name
