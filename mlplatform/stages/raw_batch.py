"""One batch of a source: checked against the contract, and stored in one transaction with the cursor behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlplatform.lake.cursors import Mark, store_mark
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import merge_rows, stored_on_another_day
from mlplatform.lake.writer import Writer
from mlplatform.spec import Declaration, Source, StreamSource
from mlplatform.stages.contract import quarantine

if TYPE_CHECKING:
    import pyarrow as pa

    from mlplatform.contracts.check import Checked
    from mlplatform.ingest.batch import Batch

__all__ = ["Stored", "ingest_batch", "raw_table", "store_no_rows"]


@dataclass(frozen=True)
class Stored:
    """What became of a batch."""

    checked: "Checked"
    accepted: bool
    """Whether its good rows are in the lake: there were not too many bad ones."""
    touched: int
    """Rows that are new or changed."""
    mark: Mark | None
    """What it left behind; None for a batch of days, of which others may be read at the same time."""


class _OvertakenError(Exception):
    """Another run has stored a row of the same name since this batch was checked."""


def raw_table(uc: Declaration, source: Source) -> str:
    """The lake table of a source."""
    return f"raw_{uc.spec.name}.{source.name}"


def ingest_batch(
    lake: Writer, uc: Declaration, source: Source, batch: "Batch", *, allowed: float, before: Mark | None
) -> Stored:
    """Check a batch that begins behind the mark `before`, and store it; again if another run took one of its keys.

    Raises:
        ContractError: the batch cannot be judged by row.
        LakeError: another run has stored rows since that mark.
    """
    while True:
        checked = _checked(lake.lake, uc, source, batch)
        accepted = checked.bad_share <= _allowed_share(source, checked, allowed)
        now = datetime.now(UTC).replace(tzinfo=None)
        try:
            touched = _store(lake, uc, source, batch, checked, now, accepted=accepted, before=before)
        except _OvertakenError:
            continue
        return Stored(checked, accepted, touched, _behind(batch, before, now) if before else None)


def _behind(batch: "Batch", before: Mark, now: datetime) -> Mark:
    """The mark that a batch leaves; one that names no cursor leaves that as it was."""
    return Mark(batch.cursor or before.cursor, now)


def _checked(lake: Lake, uc: Declaration, source: Source, batch: "Batch") -> "Checked":
    from mlplatform.contracts.check import check_rows, nothing_checked
    from mlplatform.contracts.load import load_contract

    if source.goes_on and not len(batch.rows):
        return nothing_checked(batch.refused)
    behind = datetime.combine(batch.days.end, datetime.min.time()) if batch.days else batch.latest
    return check_rows(
        load_contract(uc.folder, uc.spec.contract.module, source.name),
        batch.rows,
        key=source.key,
        time_column=source.time_column,
        before=behind,
        taken=_taken(lake, uc, source, batch),
        # What goes on is a sequence of changes; a range of days, or a table, is a set of rows.
        repeats="replace" if source.goes_on else "refuse",
        schema_change=source.schema_change,
        absent="missing" if source.absent_is_missing else "refuse",
        unread=batch.refused,
    )


def _allowed_share(source: Source, checked: "Checked", allowed: float) -> float:
    """The share of bad rows that this batch may have: of a few messages, one that is bad is too large a share."""
    few = source.tolerated_messages if isinstance(source, StreamSource) else 0
    return 1.0 if checked.bad_rows <= few else allowed


def _store(
    lake: Writer,
    uc: Declaration,
    source: Source,
    batch: "Batch",
    checked: "Checked",
    now: datetime,
    *,
    accepted: bool,
    before: Mark | None,
) -> int:
    """Good rows, bad rows and the mark behind them in one transaction; returns the rows that are new or changed.

    A batch with too many bad rows keeps its good ones out and its cursor where it was: it comes again.
    """
    import pyarrow as pa

    from mlplatform.lake.evolve import fit_table

    table, name = raw_table(uc, source), f"{source.name} {batch.name}"

    def write(con: Any) -> int:
        quarantine(con, uc, checked, name, source.name, now)
        if not accepted:
            return 0
        if before is not None:
            store_mark(con, table, _behind(batch, before, now), before)
        if not checked.good.num_columns:
            return 0
        # What was looked up before the transaction may not hold in it.
        if (time := _days_of(source, batch)) and len(stored_on_another_day(con, table, source.key, time, checked.good)):
            raise _OvertakenError
        loaded_at = pa.repeat(pa.scalar(now, pa.timestamp("us")), len(checked.good))
        good = checked.good.append_column("_loaded_at", loaded_at)
        if source.schema_change == "evolve":
            fit_table(con, table, good)
        return merge_rows(con, table, good, source.key)

    return lake.commit(write, f"ingest {name}").value


def store_no_rows(lake: Lake, uc: Declaration, source: Source) -> None:
    """An empty table in the contract's types, so that what reads it finds one."""
    import pyarrow as pa

    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract

    schema = load_contract(uc.folder, uc.spec.contract.module, source.name)
    none = pa.table({name: pa.array([], pa.string()) for name in schema.to_schema().columns})
    good = check_rows(schema, none).good.append_column("_loaded_at", pa.array([], pa.timestamp("us")))
    lake.commit(lambda con: merge_rows(con, raw_table(uc, source), good, source.key), f"no rows of {source.name} yet")


def _taken(lake: Lake, uc: Declaration, source: Source, batch: "Batch") -> "Callable[[pa.Table], pa.Table] | None":
    """Which rows are another row of a stored name. Where all is read in each run, the row that comes is the row."""
    time = _days_of(source, batch)
    if time is None:
        return None

    def look(rows: "pa.Table") -> "pa.Table":
        if not lake.catalog.exists():
            return rows.slice(0, 0)
        with lake.read() as con:
            return stored_on_another_day(con, raw_table(uc, source), source.key, time, rows)

    return look


def _days_of(source: Source, batch: "Batch") -> str | None:
    """The time by which a row belongs to the batch's days; None where a batch is not what these days hold."""
    return source.time_column if batch.days is not None and source.partition != "none" else None
