"""The lake: DuckLake tables that several processes read and write at once.

Belongs here: connections, transactions, retries, snapshots. What a table means does not.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import duckdb

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.engine import engine
from mlplatform.lake.lock import WRITE_TIMEOUT_SECONDS, write_lock

__all__ = ["Committed", "Lake"]

T = TypeVar("T")
Attached: TypeAlias = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]

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
        """Create the catalog if there is none; safe to call at every start, by several processes at once."""
        if self.catalog.exists():
            return
        self.data.mkdir(parents=True, exist_ok=True)
        self.catalog.parent.mkdir(parents=True, exist_ok=True)
        with write_lock(self.locks, self.write_timeout):
            if not self.catalog.exists():
                self._create()

    def _create(self) -> None:
        """Made beside its place and then moved: a catalog that exists is complete, whoever looks or dies meanwhile."""
        part = replace(self, catalog=self.catalog.with_name(f"{self.catalog.name}.new"))
        for suffix in ("", "-wal", "-shm"):
            part.catalog.with_name(part.catalog.name + suffix).unlink(missing_ok=True)
        with part.attach():
            pass
        part.catalog.replace(self.catalog)

    @contextmanager
    def read(self, snapshot: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection with the lake as the current database, as of `snapshot` or now.

        All queries inside see one snapshot, whatever is written meanwhile. An error in one of them ends the reading.

        Raises:
            LakeError: there is no lake yet, it is damaged, or the snapshot is not in it.
        """
        if not self.catalog.exists():
            raise LakeError(f"there is no lake at {self.catalog}; run `make setup` or `mlplatform run`")
        with self.attach("READ_ONLY", snapshot) as con:
            con.execute("BEGIN")
            yield con

    def commit(
        self, work: Callable[[duckdb.DuckDBPyConnection], T], message: str, through: Attached | None = None
    ) -> Committed[T]:
        """Run `work` in one transaction: all of it is in the returned snapshot, or none of it is in the lake.

        `work` may run more than once (a collision rolls it back first), so it must do nothing but use the connection;
        that of `through`, if one is kept open, see `lake.writer`.

        Raises:
            LakeBusyError: another process held the write lock for too long.
            LakeError: the catalog is damaged, or other tools kept colliding with this commit.
        """
        self.create()
        try:
            return _with_patience(lambda: self._transaction(work, message, through or self.attach))
        except duckdb.Error as error:
            if not _is_transient(error):
                raise
            raise LakeError(
                f"{_ATTEMPTS} tries to commit to {self.catalog} ({message}) collided with writers that do not take "
                f"the lake's lock; stop them or write through mlplatform: {error}"
            ) from error

    def _transaction(
        self, work: Callable[[duckdb.DuckDBPyConnection], T], message: str, attached: Attached
    ) -> Committed[T]:
        with write_lock(self.locks, self.write_timeout), attached() as con:
            con.execute("BEGIN")
            con.execute("CALL lake.set_commit_message('mlplatform', ?)", [message])
            value = work(con)
            con.execute("COMMIT")
            return Committed(value, self._committed(con))

    def _committed(self, con: duckdb.DuckDBPyConnection) -> int:
        """The snapshot that `con` just made; the newest one if its transaction changed nothing."""
        try:
            made = con.execute("FROM ducklake_last_committed_snapshot('lake')").fetchone()
            return int(made[0]) if made and made[0] is not None else _one(con, "FROM ducklake_current_snapshot('lake')")
        except duckdb.Error as error:
            # As a duckdb.Error it could be taken for a collision, and the work done twice.
            raise LakeError(f"the work was committed, but its snapshot cannot be read: {error}") from error

    @contextmanager
    def attach(self, mode: str = "", snapshot: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A bare connection with the lake attached, without lock, transaction or retry: for maintenance.

        Raises:
            LakeError: the catalog cannot be opened.
        """
        version = "" if snapshot is None else f"SNAPSHOT_VERSION {int(snapshot)}"
        path = _quoted(self.catalog)
        options = ", ".join(filter(None, [*self._options(), mode, version]))
        with engine() as con:
            try:
                _with_patience(lambda: con.execute(f"ATTACH 'ducklake:sqlite:{path}' AS lake ({options})"))
            except duckdb.Error as error:
                raise self._not_opened(error, snapshot) from error
            con.execute("USE lake")
            yield con

    def _options(self) -> list[str]:
        # The catalog records where its data was; the override lets a home be moved, copied or mounted elsewhere.
        data = f"DATA_PATH '{_quoted(self.data)}'"
        return [data, "OVERRIDE_DATA_PATH true", "META_JOURNAL_MODE 'WAL'", "META_BUSY_TIMEOUT 5000"]

    def _not_opened(self, error: duckdb.Error, snapshot: int | None) -> LakeError:
        if "No snapshot found" in str(error):
            return LakeError(
                f"the lake at {self.catalog} has no snapshot {snapshot}: it never had it, or maintenance has expired "
                "it (it keeps those that registered models were trained on); read a newer one"
            )
        return LakeError(
            f"the lake at {self.catalog} cannot be opened: {error}. If the file is damaged, restore it together with "
            f"{self.data} from a backup, or move both away and run `mlplatform run` to ingest anew"
        )

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


def _with_patience(work: Callable[[], T]) -> T:
    """Run `work` until it does not collide, at most `_ATTEMPTS` times (7 s of waiting in all); else its last error."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return work()
        except duckdb.Error as error:
            if not _is_transient(error):
                raise
        time.sleep(min(2.0, 0.05 * 2**attempt) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
    return work()


def _is_transient(error: duckdb.Error) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in _TRANSIENT)
