"""Where a source was read to, stored in the transaction of the rows that were read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake, table_exists

__all__ = ["Mark", "cursor_table", "read_cursor", "read_mark", "store_mark"]


@dataclass(frozen=True)
class Mark:
    """What the newest run of a source has left behind."""

    cursor: str | None = None
    """Behind which the next one goes on; None for a source without a cursor."""
    at: datetime | None = None
    """When its newest batch was stored (UTC, no zone); None before the first."""


def cursor_table(table: str) -> str:
    """The table that holds the cursor of the source whose rows `schema.name` holds.

    One for each source: what puts its rows back to an earlier snapshot puts the cursor back with them. No source's own
    name begins with an underscore.
    """
    schema, name = table.split(".")
    return f"{schema}._cursor_{name}"


def read_cursor(lake: Lake, table: str) -> str | None:
    """The cursor behind the newest committed batch; None before the first."""
    return read_mark(lake, table).cursor


def read_mark(lake: Lake, table: str) -> Mark:
    """The mark of the newest committed batch."""
    if not lake.has_table(cursor_table(table)):
        return Mark()
    with lake.read() as con:
        return _found(con, cursor_table(table))


def store_mark(con: Any, table: str, mark: Mark, before: Mark) -> None:
    """Replace the mark `before`, behind which the batch begins, in the transaction that `con` is in.

    Raises:
        LakeError: another run has stored rows meanwhile, so that these may be older than those.
    """
    name = cursor_table(table)
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
    if not table_exists(con, name):
        con.execute(f"CREATE TABLE {name} (cursor VARCHAR, _loaded_at TIMESTAMP)")
    if _found(con, name) != before:
        raise LakeError(
            f"{table}: another run of this source has stored rows while this one read. Nothing of this batch was "
            "stored, the cursor is that of the other run. Let only one of them run; the next one goes on behind it."
        )
    con.execute(f"DELETE FROM {name}")
    con.execute(f"INSERT INTO {name} VALUES (?, ?)", [mark.cursor, mark.at])


def _found(con: Any, name: str) -> Mark:
    found = con.execute(f"SELECT cursor, _loaded_at FROM {name}").fetchone()
    return Mark(*found) if found else Mark()
