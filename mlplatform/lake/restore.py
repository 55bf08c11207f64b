"""Put tables back to what they held at an earlier snapshot, as a new snapshot."""

from collections.abc import Sequence
from typing import Any

from mlplatform.lake.lake import Lake

__all__ = ["restore_tables"]


def restore_tables(lake: Lake, tables: Sequence[str], snapshot: int, message: str) -> int:
    """Make each `schema.name` hold what it held at `snapshot`, all in one transaction; returns the new snapshot.

    History stays: what the tables held before can still be read at its own snapshot.

    Raises:
        LakeError: the lake has no such snapshot (any more).
        duckdb.CatalogException: a table did not exist then.
    """
    with lake.read(snapshot):
        pass  # says clearly whether it is there; time travel inside the transaction would not

    def write(con: Any) -> None:
        for table in tables:
            then = f"SELECT * FROM {table} AT (VERSION => {int(snapshot)})"
            if _columns(con, f"SELECT * FROM {table}") == _columns(con, then):
                con.execute(f"TRUNCATE {table}")
                con.execute(f"INSERT INTO {table} BY NAME {then}")
            else:
                con.execute(f"CREATE OR REPLACE TABLE {table} AS {then}")

    return lake.commit(write, message).snapshot


def _columns(con: Any, query: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind, *_ in con.execute(f"DESCRIBE {query}").fetchall()]
