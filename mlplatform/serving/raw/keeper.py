"""The past, kept at the lake's newest snapshot. The lake is only read; while it cannot be, the last past serves on."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import duckdb
import pyarrow as pa

from mlplatform.errors import LakeError
from mlplatform.lake.feature_query import FeatureQuery, HistoryTable
from mlplatform.lake.lake import Lake
from mlplatform.serving.raw.history import History, Past

__all__ = ["LATE", "PastKeeper"]

logger = logging.getLogger(__name__)

LATE = timedelta(days=7)
"""Events may be this much older than the newest row of the lake."""
AHEAD = timedelta(days=1)
"""A row further ahead of the clock than this has a wrong time, or is no event yet: nothing is measured by it."""


@dataclass(frozen=True)
class _Version:
    """Which snapshot a past was read from, and the lake's numbers of its tables there."""

    snapshot: int
    tables: tuple[int, ...]


class PastKeeper:
    """Reads what the queries of one use case look back on, and again when those tables have changed."""

    def __init__(self, lake: Lake, query: FeatureQuery) -> None:
        self._lake = lake
        self._query = query
        self._guard = threading.Lock()
        self._version: _Version | None = None
        self._stamp: tuple[int, ...] | None = None
        self.past: Past | None = None
        self.problem: str | None = None
        """Why the past is not the newest; None if it is."""

    @property
    def snapshot(self) -> int | None:
        """The newest snapshot of the lake that the past is true for; None before the first."""
        return self._version.snapshot if self._version else None

    def refresh(self) -> bool:
        """Look at the lake; whether there is a newer past now. Blocking. What is wrong is kept in `problem`."""
        with self._guard:
            stamp = self._file_stamp()
            if stamp is not None and stamp == self._stamp and self.problem is None:
                return False
            try:
                changed = self._read()
            except (LakeError, duckdb.Error, OSError) as error:
                if self.problem is None:
                    logger.error("The past cannot be read, what was read before stays: %s", error)  # noqa: TRY400
                self.problem = str(error)
                return False
            if self.problem is not None:
                logger.info("The past can be read again")
            self._stamp, self.problem = stamp, None
            return changed

    def _file_stamp(self) -> tuple[int, ...] | None:
        """Changes with each commit: nearly all looks end here. None: look into the lake."""
        files = (self._lake.catalog, self._lake.catalog.with_name(f"{self._lake.catalog.name}-wal"))
        try:
            return tuple(
                number
                for file in files
                if file.exists()
                for status in [file.stat()]
                for number in (status.st_ino, status.st_mtime_ns, status.st_size)
            )
        except OSError:
            return None

    def _read(self) -> bool:
        with self._lake.read() as con:
            version = _version(con, self._query.history)
            known = self._version
            # A smaller number is that of a backup that was put back: it holds other rows than those that are known.
            went_on = known is not None and known.snapshot <= version.snapshot and known.tables == version.tables
            if known and went_on and not _touched(con, known, version):
                self._version = version
                return False
            read = {table.table: _rows(con, table) for table in self._query.history}
        tables = {
            table.table: History.of(table, read[table.table][0], self._query.key) for table in self._query.history
        }
        newest = max((at for _, at, _ in read.values() if at is not None), default=None)
        self.past = Past(tables, newest, max((at for *_, at in read.values() if at is not None), default=None))
        self._version = version
        return True


def _version(con: duckdb.DuckDBPyConnection, tables: Sequence[HistoryTable]) -> _Version:
    snapshot = con.execute("FROM ducklake_current_snapshot('lake')").fetchone()
    numbers: dict[str, int] = dict(
        con.execute(
            "SELECT s.schema_name || '.' || t.table_name, t.table_id FROM __ducklake_metadata_lake.ducklake_table AS t "
            "JOIN __ducklake_metadata_lake.ducklake_schema AS s USING (schema_id) WHERE t.end_snapshot IS NULL"
        ).fetchall()
    )
    missing = [table.table for table in tables if table.table not in numbers]
    if missing:
        raise LakeError(f"the lake has no {', '.join(missing)} yet; materialise the use case")
    return _Version(int(snapshot[0]) if snapshot else 0, tuple(numbers[table.table] for table in tables))


def _touched(con: duckdb.DuckDBPyConnection, known: _Version, now: _Version) -> bool:
    """Whether a commit since then says that it changed one of the tables."""
    changes = con.execute(
        "SELECT map_values(changes) FROM ducklake_snapshots('lake') WHERE snapshot_id > ?", [known.snapshot]
    ).fetchall()
    wanted = {str(number) for number in now.tables}
    return any(wanted & {str(name) for names in values for name in names} for (values,) in changes)


def _rows(con: duckdb.DuckDBPyConnection, table: HistoryTable) -> tuple[pa.Table, datetime | None, datetime | None]:
    """The rows that matter to the newest row, and to any later than it or up to LATE earlier. Their newest time. From
    when on they are all that matters; None if nothing was left out.

    Newest is who is not AHEAD: one row of the year 2100 would make all that happens now too old.
    """
    within = datetime.now(UTC).replace(tzinfo=None) + AHEAD
    found = con.execute(
        f"SELECT min({table.time}), max({table.time}) FILTER (WHERE {table.time} <= $within), "
        f"count_if({table.time} > $within) FROM {table.table}",
        {"within": within},
    ).fetchone()
    oldest, newest, ahead = found or (None, None, 0)
    if ahead:
        logger.warning(
            "%s rows of %s are more than a day ahead of the clock; the history is measured without them: correct them "
            "where they come from",
            ahead,
            table.table,
        )
    if newest is None:
        return con.execute(f"FROM {table.table}").to_arrow_table(), None, None
    newest, oldest = _moment(newest), _moment(oldest)
    since = newest - LATE - timedelta(days=table.lookback_days)
    rows = con.execute(f"FROM {table.table} WHERE {table.time} >= $since", {"since": since}).to_arrow_table()
    return rows, newest, newest - LATE if oldest < since else None


def _moment(value: date) -> datetime:
    """A day is its midnight."""
    return value if isinstance(value, datetime) else datetime.combine(value, time.min)
