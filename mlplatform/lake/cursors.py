"""Where a source was read to, stored in the transaction of the rows that were read."""

from datetime import datetime
from typing import Any

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake, table_exists

__all__ = ["cursor_table", "read_cursor", "store_cursor"]


def cursor_table(table: str) -> str:
    """The table that holds the cursor of the source whose rows `schema.name` holds.

    One for each source: what puts its rows back to an earlier snapshot puts the cursor back with them. No source's own
    name begins with an underscore.
    """
    schema, name = table.split(".")
    return f"{schema}._cursor_{name}"


def read_cursor(lake: Lake, table: str) -> str | None:
    """The cursor behind the newest committed batch; None before the first."""
    if not lake.has_table(cursor_table(table)):
        return None
    with lake.read() as con:
        found = con.execute(f"SELECT cursor FROM {cursor_table(table)}").fetchone()
        return found[0] if found else None


def store_cursor(con: Any, table: str, cursor: str, now: datetime, before: str | None) -> None:
    """Replace the cursor `before`, behind which the batch begins, in the transaction that `con` is in.

    Raises:
        LakeError: another run has moved it meanwhile, so that these rows may be older than those that are stored.
    """
    name = cursor_table(table)
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
    if not table_exists(con, name):
        con.execute(f"CREATE TABLE {name} (cursor VARCHAR, _loaded_at TIMESTAMP)")
    found = con.execute(f"SELECT cursor FROM {name}").fetchone()
    if (found[0] if found else None) != before:
        raise LakeError(
            f"{table}: another run of this source has stored rows while this one read. Nothing of this batch was "
            "stored, the cursor is that of the other run. Let only one of them run; the next one goes on behind it."
        )
    con.execute(f"DELETE FROM {name}")
    con.execute(f"INSERT INTO {name} VALUES (?, ?)", [cursor, now])
