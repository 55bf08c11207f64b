"""What each process of benchmarks/lake.py does, and what it says it did."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path

import duckdb

from benchmarks._lake_stores import Connection, Store, Work, frame
from mlplatform.errors import LakeError
from mlplatform.lake.tables import merge_rows

Rows = list[tuple[int, ...]]

ROWS = 200
KEYS = 1000


@dataclass
class Told:
    """What one worker was told: the rows it may count on, by table, and what went wrong."""

    rows: dict[str, Rows] = field(default_factory=dict)
    commits: int = 0
    reads: int = 0
    errors: int = 0
    inconsistent: int = 0
    slowest_commit_s: float = 0.0
    seconds: float = 0.0

    def try_to_commit(self, store: Store, work: Work) -> int | None:
        """The snapshot, or None if the store refused."""
        started = time.perf_counter()
        try:
            snapshot = store.commit(work)
        except (duckdb.Error, LakeError):
            self.errors += 1
            return None
        self.commits += 1
        self.slowest_commit_s = max(self.slowest_commit_s, time.perf_counter() - started)
        return snapshot

    def try_to_read(self, store: Store, sql: str, snapshot: int | None = None) -> tuple[int, ...] | None:
        """The first row, or None if the store refused."""
        try:
            with store.read(snapshot) as con:
                row: tuple[int, ...] | None = con.execute(sql).fetchone()
        except (duckdb.Error, LakeError):
            self.errors += 1
            return None
        self.reads += 1
        return row


Role = Callable[[Told, Store, int, int], None]


_start: list[Barrier] = []


def meet_at(barrier: Barrier) -> None:
    """Called in each new process."""
    _start.append(barrier)


def run_worker(role: Role, store: type[Store], folder: Path, worker: int, seconds: float) -> Told:
    """Repeat `role` for `seconds`, once every process has come so far (imports, the first opening)."""
    told, opened = Told(), store(folder)
    frame([])
    opened.warm_up()
    _start[0].wait()
    started = time.perf_counter()
    turn = 0
    while time.perf_counter() - started < seconds:
        role(told, opened, worker, turn)
        turn += 1
    told.seconds = time.perf_counter() - started
    return told


def append(told: Told, store: Store, worker: int, turn: int) -> None:
    rows: Rows = [(worker, turn * ROWS + n, turn) for n in range(ROWS)]

    def work(con: Connection) -> None:
        con.register("_incoming", frame(rows))
        con.execute("INSERT INTO appended SELECT * FROM _incoming")
        con.unregister("_incoming")

    if told.try_to_commit(store, work) is not None:
        told.rows.setdefault("appended", []).extend(rows)


def merge(told: Told, store: Store, worker: int, turn: int) -> None:
    """A window of keys that moves on by half its size, so that half of the rows are updates."""
    rows: Rows = [(worker, (turn * ROWS // 2 + n) % KEYS, turn) for n in range(ROWS)]
    if told.try_to_commit(store, lambda con: _merge(con, rows)) is not None:
        merged = {row[:2]: row for row in told.rows.get("merged", [])} | {row[:2]: row for row in rows}
        told.rows["merged"] = list(merged.values())


def replace(told: Told, store: Store, worker: int, turn: int) -> None:
    rows: Rows = [(worker, n, turn) for n in range(ROWS)]
    if told.try_to_commit(store, lambda con: _replace(con, rows)) is not None:
        told.rows["replaced"] = rows


def read(told: Told, store: Store, worker: int, turn: int) -> None:  # noqa: ARG001 - a role
    """A replaced table has one `value` and all of its rows, or none: anything else is half of a transaction."""
    seen = told.try_to_read(store, "SELECT count(*), count(DISTINCT value) FROM replaced")
    told.inconsistent += seen is not None and seen not in ((0, 0), (ROWS, 1))


def check_snapshot(told: Told, store: Store, worker: int, turn: int) -> None:
    """Read the newest snapshot, and read it again later: the answer may not change."""
    if not store.snapshots:
        return read(told, store, worker, turn)
    newest = told.try_to_read(store, "SELECT id FROM ducklake_current_snapshot('lake') AS t(id)")
    if newest is None:
        return None
    checksum = (
        "SELECT (SELECT count(*) FROM appended), (SELECT sum(number) FROM appended), (SELECT sum(value) FROM merged)"
    )
    first = told.try_to_read(store, checksum, newest[0])
    time.sleep(0.2)
    again = told.try_to_read(store, checksum, newest[0])
    told.inconsistent += None not in (first, again) and first != again
    return None


def _merge(con: Connection, rows: Rows) -> None:
    merge_rows(con, "main.merged", frame(rows), ["writer", "number"])


def _replace(con: Connection, rows: Rows) -> None:
    con.register("_incoming", frame(rows))
    con.execute("DELETE FROM replaced")
    con.execute("INSERT INTO replaced SELECT * FROM _incoming")
    con.unregister("_incoming")
