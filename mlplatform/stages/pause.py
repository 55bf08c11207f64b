"""Pausing retraining: the champion stays until the pause is over or released.

Two clocks meet here. `until` is the data's time, as cool-down and every decision are, so that `--for 7d` means seven
days of data also when last year's data is replayed. `paused_at` and `released_at` say when somebody did it, by the
clock on the wall, like `deployed_at` and `decided_at`; nothing is judged by them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import Declaration

__all__ = ["Pause", "current_pause", "pause", "pause_table", "release"]


@dataclass(frozen=True)
class Pause:
    """A pause that has not been released. Times are UTC without a zone, as all times of the lake."""

    paused_at: datetime
    """When it was asked for, by the clock on the wall."""
    until: datetime | None
    """The data's time at which it ends by itself; None: only a release ends it."""
    reason: str
    by: str

    def __str__(self) -> str:
        end = f"until {self.until:%Y-%m-%d %H:%M}" if self.until else "until it is released"
        return f"retraining is paused {end} by {self.by}: {self.reason}"


def pause_table(uc: Declaration) -> str:
    """The lake table with one row per pause: paused_at, until, reason, by, released_at."""
    return f"{uc.spec.name}.retraining_pause"


def pause(uc: Declaration, lake: Lake, until: datetime | None, reason: str, by: str) -> Pause:
    """Pause from now on until the data's time reaches `until`. An open pause of the same words is not written twice."""
    wanted = Pause(_now(), until, reason, by)

    def write(con: Any) -> None:
        _create(con, uc)
        same = f"FROM {pause_table(uc)} WHERE released_at IS NULL AND until IS NOT DISTINCT FROM ? AND reason = ?"
        if con.execute(f'SELECT 1 {same} AND "by" = ?', [until, reason, by]).fetchone() is None:
            con.execute(
                f"INSERT INTO {pause_table(uc)} VALUES (?, ?, ?, ?, NULL)", [wanted.paused_at, until, reason, by]
            )

    lake.commit(write, f"pause {uc.spec.name}: {reason}")
    return wanted


def release(uc: Declaration, lake: Lake, by: str) -> int:
    """End every open pause, whoever asked for it; returns how many there were."""
    if not lake.has_table(pause_table(uc)):
        return 0

    def write(con: Any) -> int:
        done = con.execute(f"UPDATE {pause_table(uc)} SET released_at = ? WHERE released_at IS NULL", [_now()])
        return int((done.fetchone() or (0,))[0])

    return lake.commit(write, f"{by} lets {uc.spec.name} retrain again").value


def current_pause(uc: Declaration, lake: Lake, at: datetime) -> Pause | None:
    """The open pause that lasts longest, if one is in force when the data's time is `at` (UTC without a zone)."""
    if not lake.catalog.exists():
        return None
    with lake.read() as con:
        if not table_exists(con, pause_table(uc)):
            return None
        row = con.execute(
            f'SELECT paused_at, until, reason, "by" FROM {pause_table(uc)} '
            "WHERE released_at IS NULL AND (until IS NULL OR until > ?) ORDER BY until DESC NULLS FIRST LIMIT 1",
            [at],
        ).fetchone()
    return Pause(*row) if row else None


def _create(con: Any, uc: Declaration) -> None:
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {uc.spec.name}")
    con.execute(
        f"CREATE TABLE IF NOT EXISTS {pause_table(uc)} "
        '(paused_at TIMESTAMP, until TIMESTAMP, reason VARCHAR, "by" VARCHAR, released_at TIMESTAMP)'
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
