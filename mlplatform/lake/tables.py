"""Writing whole tables and rows by column name, and describing what was written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import duckdb

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake, table_exists

if TYPE_CHECKING:
    # Whoever has rows has imported them; `import mlplatform.definitions` has none, and would take half as long again.
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Rows",
    "TableInfo",
    "append_rows",
    "columns_of",
    "describe_table",
    "merge_rows",
    "quoted",
    "replace_table",
    "stored_on_another_day",
    "widen",
]

Rows: TypeAlias = "pa.Table | pd.DataFrame"


@dataclass(frozen=True)
class TableInfo:
    """A table as of one snapshot."""

    name: str
    rows: int
    columns: dict[str, str]
    """Column name -> SQL type, in order."""
    bytes: int
    """Size of its Parquet files; rows that are still inlined in the catalog count as none."""
    snapshot: int


def replace_table(con: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> int:
    """Make `schema.name` hold exactly `rows`; earlier snapshots keep what it held. Returns the number of rows.

    A table of the same columns is emptied and filled, so that its identity (and its history) goes on.
    """
    _create_schema(con, table)
    con.register("_incoming", rows)
    try:
        if table_exists(con, table) and columns_of(con, table) == columns_of(con, "_incoming"):
            con.execute(f"TRUNCATE {table}")
            con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM _incoming")
        else:
            con.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM _incoming")
    finally:
        con.unregister("_incoming")
    return len(rows)


def append_rows(con: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> int:
    """Add `rows`, matched by column name. Returns the number of rows.

    Raises:
        LakeError: `rows` has a column that the table lacks.
    """
    return _with_target(con, table, rows, lambda: f"INSERT INTO {table} BY NAME SELECT * FROM _incoming")


def merge_rows(con: duckdb.DuckDBPyConnection, table: str, rows: Rows, key: list[str]) -> int:
    """Upsert by `key`: new rows are added, changed rows replaced, equal rows left alone. Returns rows touched.

    `key` must be unique in `rows`. The column `_loaded_at` says when a row came; it alone is no change.

    Rows of which none is there yet, the most of what an increment brings, are inserted: 20 parts of 50,000 rows took
    0.26 s of CPU instead of 0.65 where keys rise, and 0.9 instead of 1.3 where they lie anywhere.
    """
    names = _names(rows)
    on = " AND ".join(f"t.{quoted(k)} = s.{quoted(k)}" for k in key)
    values = [n for n in names if n not in key]
    changed = (
        " OR ".join(f"t.{quoted(n)} IS DISTINCT FROM s.{quoted(n)}" for n in values if n != "_loaded_at") or "false"
    )
    assign = ", ".join(f"{quoted(n)} = s.{quoted(n)}" for n in values)
    update = f"WHEN MATCHED AND ({changed}) THEN UPDATE SET {assign} " if values else ""
    columns = ", ".join(map(quoted, names))
    incoming = ", ".join(f"s.{quoted(n)}" for n in names)
    known = f"SELECT EXISTS (SELECT 1 FROM {table} AS t SEMI JOIN _incoming AS s ON {on})"
    merge = (
        f"MERGE INTO {table} AS t USING _incoming AS s ON {on} {update}"
        f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({incoming})"
    )
    insert = f"INSERT INTO {table} BY NAME SELECT * FROM _incoming"
    return _with_target(con, table, rows, lambda: merge if _scalar(con, known) else insert)


def stored_on_another_day(
    con: duckdb.DuckDBPyConnection, table: str, key: list[str], time: str, rows: "pa.Table"
) -> "pa.Table":
    """Of `rows` those whose `key` a stored row of another day has: each is another row of that name.

    Gives the columns `key` and `time` of them; a row without a time is none of them.
    """
    told = rows.select([*key, time])
    if not table_exists(con, table):
        return told.slice(0, 0)
    columns = ", ".join(f"i.{quoted(name)}" for name in told.column_names)
    same = " AND ".join(f"t.{quoted(name)} = i.{quoted(name)}" for name in key)
    con.register("_rows", told)
    try:
        return con.execute(
            f"SELECT DISTINCT {columns} FROM {table} AS t JOIN _rows AS i ON {same} "
            f"WHERE t.{quoted(time)}::DATE <> i.{quoted(time)}::DATE"
        ).to_arrow_table()
    finally:
        con.unregister("_rows")


def describe_table(lake: Lake, table: str, snapshot: int | None = None) -> TableInfo:
    """Rows, columns and bytes of `schema.name` as of `snapshot` (default: now).

    Raises:
        LakeError: there is no such table.
    """
    schema, name = table.split(".")
    with lake.read(snapshot) as con:
        if not table_exists(con, table):
            raise LakeError(f"the lake has no table {table}" + (f" at snapshot {snapshot}" if snapshot else ""))
        version = snapshot if snapshot is not None else _scalar(con, "FROM ducklake_current_snapshot('lake')")
        files = f"ducklake_list_files('lake', '{name}', schema => '{schema}', snapshot_version => {version})"
        return TableInfo(
            name=table,
            rows=_scalar(con, f"SELECT count(*) FROM {table}"),
            columns=columns_of(con, table),
            bytes=_scalar(con, f"SELECT coalesce(sum(data_file_size_bytes), 0)::BIGINT FROM {files}"),
            snapshot=version,
        )


def _with_target(con: duckdb.DuckDBPyConnection, table: str, rows: Rows, statement: Callable[[], str]) -> int:
    """Run what `statement` makes with the rows as `_incoming` and a target that has at least their columns."""
    _create_schema(con, table)
    con.register("_incoming", rows)
    try:
        if not table_exists(con, table):
            con.execute(f"CREATE TABLE {table} AS SELECT * FROM _incoming LIMIT 0")
        missing = [n for n in _names(rows) if n not in columns_of(con, table)]
        if missing:
            raise LakeError(
                f"{table} has no column {', '.join(missing)}; it has {', '.join(columns_of(con, table))}. "
                f"Add it (ALTER TABLE {table} ADD COLUMN ...) or leave it out of the source"
            )
        return int((con.execute(statement()).fetchone() or (0,))[0])
    finally:
        con.unregister("_incoming")


def widen(con: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> None:
    """Give a table that exists the columns of `rows` that it lacks, empty in the rows it has."""
    if not table_exists(con, table):
        return
    con.register("_wanted", rows)
    try:
        wanted = columns_of(con, "_wanted")
    finally:
        con.unregister("_wanted")
    for name in [name for name in wanted if name not in columns_of(con, table)]:
        con.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {wanted[name]}")


def _create_schema(con: duckdb.DuckDBPyConnection, table: str) -> None:
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")


def columns_of(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Column name -> SQL type, in order."""
    return {name: kind for name, kind, *_ in con.execute(f"DESCRIBE {relation}").fetchall()}


def _names(rows: Rows) -> list[str]:
    import pyarrow as pa

    return list(rows.column_names if isinstance(rows, pa.Table) else rows.columns)


def _scalar(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int((con.execute(sql).fetchone() or (0,))[0])


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
