"""While services answer with other features than training reads, nothing is promoted: until it is gone, or accepted.

A candidate that learned from the lake would be promoted on figures of features that nobody serves.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import Declaration

__all__ = ["OpenSkew", "accept_skew", "accepted_table", "accepted_until", "open_skew", "skew_report_table"]


@dataclass(frozen=True)
class OpenSkew:
    """What the newest report found and nobody has accepted."""

    use_case: str
    values: int
    columns: str
    newest: datetime
    """When the newest of the answers was given."""

    def __str__(self) -> str:
        return (
            f"{self.values} served values of {self.columns} are not those that training reads (skew; the newest of "
            f"{self.newest:%Y-%m-%d %H:%M} UTC; {self.use_case}.skew_differences lists them). Correct what serves "
            f'them, then `mlplatform accept-skew {self.use_case} --reason "..."` for the answers up to now'
        )


def skew_report_table(uc: Declaration) -> str:
    """The lake table with one row per comparison."""
    return f"{uc.spec.name}.skew_report"


def accepted_table(uc: Declaration) -> str:
    """The lake table with one row per acceptance: accepted_at, reason, by."""
    return f"{uc.spec.name}.skew_accepted"


def accept_skew(uc: Declaration, lake: Lake, reason: str, by: str) -> datetime:
    """Answers up to now no longer count, whatever they were made of; returns now (UTC without a zone)."""
    now = datetime.now(UTC).replace(tzinfo=None)

    def write(con: Any) -> None:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {uc.spec.name}")
        con.execute(
            f'CREATE TABLE IF NOT EXISTS {accepted_table(uc)} (accepted_at TIMESTAMP, reason VARCHAR, "by" VARCHAR)'
        )
        con.execute(f"INSERT INTO {accepted_table(uc)} VALUES (?, ?, ?)", [now, reason, by])

    lake.commit(write, f"skew of {uc.spec.name} accepted: {reason}")
    return now


def accepted_until(con: Any, uc: Declaration) -> datetime | None:
    """Answers up to then do not count any more."""
    if not table_exists(con, accepted_table(uc)):
        return None
    row = con.execute(f"SELECT max(accepted_at) FROM {accepted_table(uc)}").fetchone()
    return row[0] if row else None


def open_skew(uc: Declaration, lake: Lake) -> OpenSkew | None:
    """What the newest report says, if it has not been accepted since."""
    table = skew_report_table(uc)
    if not lake.has_table(table):
        return None
    with lake.read() as con:
        names = {str(name) for name, *_ in con.execute(f"DESCRIBE {table}").fetchall()}
        if "newest_skewed_at" not in names:
            return None  # reports from before causes were told apart
        row = con.execute(
            f"SELECT skewed, skewed_columns, newest_skewed_at FROM {table} ORDER BY compared_at DESC LIMIT 1"
        ).fetchone()
        accepted = accepted_until(con, uc)
    if row is None or not row[0] or (accepted is not None and row[2] <= accepted):
        return None
    return OpenSkew(uc.spec.name, int(row[0]), str(row[1]), row[2])
