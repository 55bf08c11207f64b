"""Which version has been the champion since when, and why: promotions and rollbacks in one history.

MLflow's alias is what decides; this table is what sensors and reports read, without importing MLflow (5 s).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from filelock import FileLock

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform.resources.tracking import Registered, Tracking
from mlplatform.spec import Declaration

__all__ = [
    "PROMOTION",
    "ROLLBACK",
    "Move",
    "alias_moves",
    "alias_table",
    "champion_lock",
    "newest_move",
    "promoted_over",
    "record_alias",
    "recorded_champion",
    "rolled_back",
    "settled_champion",
]

PROMOTION = "promotion"
"""The cause of a move after a comparison."""
ROLLBACK = "rollback"
"""The cause of a move that a person, or the loop itself, took back a promotion with."""


def alias_table(uc: Declaration) -> str:
    """The lake table with one row per move of the champion alias."""
    return f"{uc.spec.name}.champion_alias"


def record_alias(con: Any, uc: Declaration, version: int, before: int | None, cause: str, reason: str) -> None:
    """Add a move, in the caller's transaction. `cause`: promotion or rollback."""
    import pandas as pd

    now = datetime.now(UTC).replace(tzinfo=None)
    row = pd.DataFrame({"moved_at": [now], "version": [version], "version_before": [before or 0]})
    append_rows(con, alias_table(uc), row.assign(cause=cause, reason=reason))


@dataclass(frozen=True)
class Move:
    """One move of the alias: to a version, because of a promotion or a rollback."""

    version: int
    cause: str
    reason: str


def newest_move(uc: Declaration, lake: Lake) -> Move | None:
    """The last one; None before the first."""
    if not lake.has_table(alias_table(uc)):
        return None
    with lake.read() as con:
        row = con.execute(
            f"SELECT version, cause, reason FROM {alias_table(uc)} ORDER BY moved_at DESC, rowid DESC LIMIT 1"
        ).fetchone()
    return Move(int(row[0]), str(row[1]), str(row[2])) if row else None


def recorded_champion(uc: Declaration, lake: Lake) -> int | None:
    """The version that the newest move named; None before the first."""
    move = newest_move(uc, lake)
    return move.version if move else None


def champion_lock(uc: Declaration) -> FileLock:
    """Held by whoever moves the alias, from its look at the champion until the move is written down."""
    return FileLock(Home.current().locks / f"{uc.spec.name}-champion.lock")


def settled_champion(uc: Declaration, lake: Lake, tracking: Tracking) -> Registered | None:
    """Who carries the alias, under `champion_lock`; a rollback that was killed after it was written down, and before it
    moved the alias, is finished first."""
    champion, move = tracking.champion(uc.spec.name), newest_move(uc, lake)
    if champion is None or move is None or move.cause != ROLLBACK or move.version == champion.version:
        return champion
    tracking.make_champion(uc.spec.name, move.version)
    return tracking.champion(uc.spec.name)


def alias_moves(uc: Declaration, lake: Lake) -> int:
    """How often the alias has moved."""
    if not lake.has_table(alias_table(uc)):
        return 0
    with lake.read() as con:
        row = con.execute(f"SELECT count(*) FROM {alias_table(uc)}").fetchone()
    return int(row[0]) if row else 0


def promoted_over(uc: Declaration, lake: Lake, version: int) -> int | None:
    """The champion that a version replaced when it was promoted; None for the first, or one that came by a rollback."""
    if not lake.has_table(alias_table(uc)):
        return None
    with lake.read() as con:
        row = con.execute(
            f"SELECT cause, version_before FROM {alias_table(uc)} WHERE version = ? ORDER BY moved_at DESC LIMIT 1",
            [version],
        ).fetchone()
    return int(row[1]) if row and row[0] == PROMOTION and row[1] else None


def rolled_back(uc: Declaration, lake: Lake) -> dict[int, str]:
    """Versions that were taken back and have not been champion again since, each with the reason of the last time.

    Who goes on again to a later version takes nothing back.
    """
    if not lake.has_table(alias_table(uc)):
        return {}
    with lake.read() as con:
        found = con.execute(
            f"SELECT version_before, max_by(reason, moved_at) FROM {alias_table(uc)} AS taken "
            "WHERE cause = ? AND version < version_before "
            f"AND NOT EXISTS (SELECT 1 FROM {alias_table(uc)} AS later WHERE later.version = taken.version_before "
            "AND later.moved_at > taken.moved_at) GROUP BY 1",
            [ROLLBACK],
        ).fetchall()
    return {int(version): str(reason) for version, reason in found}
