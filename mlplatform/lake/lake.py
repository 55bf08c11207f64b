"""The lake: DuckLake tables that several processes read and write at once.

Belongs here: connections, transactions, retries, snapshots. What a table means does not.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import duckdb

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.engine import engine
from mlplatform.lake.lock import WRITE_TIMEOUT_SECONDS, write_lock

__all__ = ["Committed", "Lake"]

T = TypeVar("T")

# Other tools (a hand-started dbt of another version, a notebook) may write without our lock: their commits
# collide with ours now and then, and a few tries settle that.
_ATTEMPTS = 8
_TRANSIENT = ("database is locked", "conflict", "failed to commit", "does not exist in the catalog")


@dataclass(frozen=True)
class Committed(Generic[T]):
    """What a transaction returned, and the snapshot that holds its changes."""

    value: T
    snapshot: int


@dataclass(frozen=True)
class Lake:
    """One DuckLake. Cheap to make; every connection is opened, used and closed by a context manager."""

    catalog: Path
    data: Path
    locks: Path
    write_timeout: float = WRITE_TIMEOUT_SECONDS

    @classmethod
    def at(cls, home: Home) -> "Lake":
        """The lake of a home folder."""
        return cls(catalog=home.lake_catalog, data=home.lake_data, locks=home.locks)

    def create(self) -> None:
        """Create the catalog if there is none; safe to call at every start."""
        if not self.catalog.exists():
            self.commit(lambda _: None, "create the lake")

    @contextmanager
    def read(self, snapshot: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection with the lake as the current database, as of `snapshot` or now.

        Raises:
            LakeError: there is no lake yet, or the snapshot is not in it.
        """
        if not self.catalog.exists():
            raise LakeError(f"there is no lake at {self.catalog}; run `make setup` or `mlplatform run`")
        version = "" if snapshot is None else f", SNAPSHOT_VERSION {int(snapshot)}"
        with engine() as con:
            try:
                self._attach(con, f"READ_ONLY{version}")
            except duckdb.Error as error:
                at = "" if snapshot is None else f" at snapshot {snapshot}"
                raise LakeError(f"the lake at {self.catalog} cannot be opened{at}: {error}") from error
            yield con

    def commit(self, work: Callable[[duckdb.DuckDBPyConnection], T], message: str) -> Committed[T]:
        """Run `work` in one transaction: all of it is in the returned snapshot, or none of it is in the lake.

        `work` may run more than once (a collision rolls it back first), so it must do nothing but use the connection.

        Raises:
            LakeBusyError: another process held the write lock for too long.
        """
        self.catalog.parent.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with write_lock(self.locks, self.write_timeout):
                    return self._transaction(work, message)
            except duckdb.Error as error:
                if attempt == _ATTEMPTS or not _is_transient(error):
                    raise
                time.sleep(min(2.0, 0.05 * 2**attempt) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T], message: str) -> Committed[T]:
        with engine() as con:
            self._attach(con, f"DATA_PATH '{_quoted(self.data)}'")
            con.execute("BEGIN")
            con.execute("CALL lake.set_commit_message('mlplatform', ?)", [message])
            value = work(con)
            con.execute("COMMIT")
            # A transaction that changed nothing makes no snapshot of its own.
            newest = (
                "coalesce((FROM ducklake_last_committed_snapshot('lake')), (FROM ducklake_current_snapshot('lake')))"
            )
            return Committed(value, _one(con, f"SELECT {newest}"))

    def _attach(self, con: duckdb.DuckDBPyConnection, options: str) -> None:
        con.execute(
            f"ATTACH 'ducklake:sqlite:{_quoted(self.catalog)}' AS lake "
            f"({options}, META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000)"
        )
        con.execute("USE lake")

    def snapshot(self) -> int:
        """The number of the newest snapshot."""
        with self.read() as con:
            return _one(con, "FROM ducklake_current_snapshot('lake')")

    def has_table(self, table: str) -> bool:
        """Whether `schema.name` is a table of the lake now."""
        if not self.catalog.exists():
            return False
        with self.read() as con:
            return table_exists(con, table)


def table_exists(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether `schema.name` exists in the lake that `con` is attached to."""
    schema, name = table.split(".")
    return bool(
        _one(
            con,
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = ? AND table_name = ?",
            [schema, name],
        )
    )


def _one(con: duckdb.DuckDBPyConnection, sql: str, parameters: list[object] | None = None) -> int:
    row = con.execute(sql, parameters or []).fetchone()
    if row is None:
        raise LakeError(f"the lake gave no row for: {sql}")
    return int(row[0])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _is_transient(error: duckdb.Error) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in _TRANSIENT)
