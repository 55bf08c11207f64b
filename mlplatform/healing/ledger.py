"""The healing ledger in the lake: one row per step, never changed.

Every step names the event of Dagster's log that it answers. All steps of one event are written in one transaction, so
an event that the ledger knows has been dealt with, whatever died afterwards.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from mlplatform.lake.lake import Lake, table_exists

__all__ = ["Outcome", "Step", "ledger_table", "read_steps", "record_steps"]

Outcome = Literal["waiting", "started", "succeeded", "failed", "gave up", "alerted", "resolved"]
"""`waiting`: a remedy is due at `due_at`; `started`, then `succeeded` or `failed`: an attempt; `gave up`: no remedy is
left; `alerted`: no remedy is declared, people were told; `resolved`: what had failed was made good by another run."""

_COLUMNS = (
    'problem VARCHAR, number INTEGER, event_id BIGINT, "at" TIMESTAMP, failed VARCHAR, rule VARCHAR, remedy VARCHAR, '
    'attempt INTEGER, "of" INTEGER, outcome VARCHAR, run_id VARCHAR, due_at TIMESTAMP, detail VARCHAR'
)


@dataclass(frozen=True)
class Step:
    """One row. Times are by the clock on the wall, UTC without a zone."""

    problem: str
    """The run that failed first, and the check if the run itself went well."""
    number: int
    """1 is the first step of its problem."""
    event_id: int
    """The event of Dagster's log that this step answers."""
    at: datetime
    failed: str
    rule: str
    remedy: str
    attempt: int
    of: int
    outcome: Outcome
    run_id: str
    """The run that failed, or, of an attempt's end, the run that was the attempt."""
    due_at: datetime | None
    detail: str


def ledger_table(use_case: str) -> str:
    """The lake table of the ledger."""
    return f"{use_case}.healing_ledger"


def record_steps(lake: Lake, use_case: str, steps: Sequence[Step]) -> None:
    """Append steps, all or none."""
    if not steps:
        return
    columns = ", ".join(f'"{field.name}"' for field in fields(Step))
    slots = ", ".join("?" for _ in fields(Step))

    def write(con: Any) -> None:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {use_case}")
        con.execute(f"CREATE TABLE IF NOT EXISTS {ledger_table(use_case)} ({_COLUMNS})")
        for step in steps:
            con.execute(f"INSERT INTO {ledger_table(use_case)} ({columns}) VALUES ({slots})", list(astuple(step)))

    lake.commit(write, f"healing of {use_case}: {steps[-1].failed} {steps[-1].outcome}")


def read_steps(lake: Lake, use_case: str) -> list[Step]:
    """All steps; those of one problem in their order."""
    if not lake.catalog.exists():
        return []
    columns = ", ".join(f'"{field.name}"' for field in fields(Step))
    with lake.read() as con:
        if not table_exists(con, ledger_table(use_case)):
            return []
        rows = con.execute(f'SELECT {columns} FROM {ledger_table(use_case)} ORDER BY "at", problem, number').fetchall()
    return [Step(*row) for row in rows]
