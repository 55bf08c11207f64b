"""Keeping the lake small: fewer files, fewer snapshots, no rows lost and no model's training data forgotten.

Small writes leave rows in the catalog and many small Parquet files, and each snapshot keeps alive what it can see.
DuckLake merges files so that every snapshot that is left still reads the same rows from the merged ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake
from mlplatform.lake.lock import write_lock

__all__ = ["Maintained", "maintain"]


@dataclass(frozen=True)
class Maintained:
    """What one maintenance did."""

    rows_flushed: int
    """Rows that were inlined in the catalog and are now in Parquet files."""
    files_merged: int
    """Small files that were replaced by larger ones."""
    snapshots_expired: tuple[int, ...]
    snapshots_missing: tuple[int, ...]
    """Snapshots that were to be kept but are not in the lake: a model that names one can no longer be rebuilt."""
    files_removed: int
    bytes_before: int
    """Size of catalog and Parquet files."""
    bytes_after: int


def maintain(
    lake: Lake, keep_snapshots: Iterable[int], now: datetime, keep_days: float = 30.0, grace_hours: float = 24.0
) -> Maintained:
    """Merge small files, expire snapshots older than `keep_days`, and remove files unused for `grace_hours`.

    Never expires a snapshot in `keep_snapshots` (those that registered models were trained on) nor the newest. Readers
    go on meanwhile: a file that a query may have open is removed only after the grace. Writers wait: each step holds
    the write lock, so two maintenances at once do the work once.

    Args:
        lake: the lake.
        keep_snapshots: numbers of snapshots that must stay readable.
        now: the time that `keep_days` and `grace_hours` count back from; it must have a time zone.
        keep_days: days for which every snapshot stays readable.
        grace_hours: longer than the longest query, and than the longest write of a tool that does not take the lock.

    Raises:
        LakeError: `now` has no time zone, or the catalog cannot be opened.
        LakeBusyError: somebody else wrote for too long.
    """
    if now.tzinfo is None:
        raise LakeError(f"maintenance needs a time with a time zone, not {now}: snapshots are stamped in UTC")
    keep = set(keep_snapshots)
    before = _bytes(lake)
    flushed = _step(lake, "CALL ducklake_flush_inlined_data('lake')")
    expired, missing = _expire(lake, keep, now - timedelta(days=keep_days))
    merged = _step(lake, "CALL ducklake_merge_adjacent_files('lake')")
    removed = _remove_files(lake, now - timedelta(hours=grace_hours))
    return Maintained(
        rows_flushed=sum(rows for _, _, rows in flushed),
        files_merged=sum(files for _, _, files, _ in merged),
        snapshots_expired=expired,
        snapshots_missing=missing,
        files_removed=removed,
        bytes_before=before,
        bytes_after=_bytes(lake),
    )


def _step(lake: Lake, call: str) -> list[tuple[Any, ...]]:
    """One DuckLake function as a commit of its own: stopped halfway, maintenance has done a part and broken nothing."""
    return lake.commit(lambda con: con.execute(call).fetchall(), "maintenance").value


def _expire(lake: Lake, keep: set[int], before: datetime) -> tuple[tuple[int, ...], tuple[int, ...]]:
    # Chosen and expired under one lock: the newest snapshot must still be the newest when the others go.
    with write_lock(lake.locks, lake.write_timeout), lake.attach() as con:
        stamps = con.execute("SELECT snapshot_id, epoch(snapshot_time) FROM ducklake_snapshots('lake')").fetchall()
        snapshots = {int(number): float(stamp) for number, stamp in stamps}
        newest = max(snapshots)
        old = sorted(n for n, at in snapshots.items() if at < before.timestamp() and n not in keep and n != newest)
        if old:
            con.execute(f"CALL ducklake_expire_snapshots('lake', versions => {old})")
    return tuple(old), tuple(sorted(keep - snapshots.keys()))


def _remove_files(lake: Lake, before: datetime) -> int:
    """Remove what no snapshot needs any more, and what killed writers left behind. Returns the number of files."""
    stamp = f"TIMESTAMPTZ '{before.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00'"
    with write_lock(lake.locks, lake.write_timeout), lake.attach() as con:
        unused = _call(con, f"ducklake_cleanup_old_files('lake', older_than => {stamp})")
        orphaned = _call(con, f"ducklake_delete_orphaned_files('lake', older_than => {stamp})")
    return len(unused) + len(orphaned)


def _call(con: duckdb.DuckDBPyConnection, function: str) -> list[tuple[str]]:
    return con.execute(f"CALL {function}").fetchall()


def _bytes(lake: Lake) -> int:
    return sum(_size(path) for path in (lake.catalog, *lake.data.rglob("*.parquet")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another maintenance removed it since it was listed
        return 0
