"""Which version has been the champion since when, and why: promotions and rollbacks in one history.

MLflow's alias is what decides; this table is what sensors and reports read, without importing MLflow (5 s).
"""

from datetime import UTC, datetime
from typing import Any

from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform.spec import Declaration

__all__ = [
    "PROMOTION",
    "ROLLBACK",
    "alias_moves",
    "alias_table",
    "came_by_rollback",
    "promoted_over",
    "record_alias",
    "recorded_champion",
    "rolled_back",
    "unfinished_rollback",
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


def recorded_champion(uc: Declaration, lake: Lake) -> int | None:
    """The version that the newest move named; None before the first."""
    if not lake.has_table(alias_table(uc)):
        return None
    with lake.read() as con:
        row = con.execute(
            f"SELECT version FROM {alias_table(uc)} ORDER BY moved_at DESC, rowid DESC LIMIT 1"
        ).fetchone()
    return int(row[0]) if row else None


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


def unfinished_rollback(uc: Declaration, lake: Lake, alias: int | None) -> int | None:
    """The version that a rollback has written down as champion while MLflow's alias names another: it was killed
    between the two."""
    if not lake.has_table(alias_table(uc)):
        return None
    with lake.read() as con:
        row = con.execute(
            f"SELECT version, cause FROM {alias_table(uc)} ORDER BY moved_at DESC, rowid DESC LIMIT 1"
        ).fetchone()
    return int(row[0]) if row and row[1] == ROLLBACK and int(row[0]) != alias else None


def came_by_rollback(uc: Declaration, lake: Lake, version: int) -> bool:
    """Whether a rollback made a version the champion that it is."""
    if not lake.has_table(alias_table(uc)):
        return False
    with lake.read() as con:
        row = con.execute(
            f"SELECT version, cause FROM {alias_table(uc)} ORDER BY moved_at DESC, rowid DESC LIMIT 1"
        ).fetchone()
    return bool(row and row[1] == ROLLBACK and int(row[0]) == version)


def rolled_back(uc: Declaration, lake: Lake) -> dict[int, str]:
    """Versions that were taken back and have not been champion again since, each with the reason of the last time."""
    if not lake.has_table(alias_table(uc)):
        return {}
    with lake.read() as con:
        found = con.execute(
            f"SELECT version_before, max_by(reason, moved_at) FROM {alias_table(uc)} AS taken WHERE cause = ? "
            f"AND NOT EXISTS (SELECT 1 FROM {alias_table(uc)} AS later WHERE later.version = taken.version_before "
            "AND later.moved_at > taken.moved_at) GROUP BY 1",
            [ROLLBACK],
        ).fetchall()
    return {int(version): str(reason) for version, reason in found}
