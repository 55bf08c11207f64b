"""One batch of a source: checked against the contract, and stored in one transaction with the cursor behind it."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mlplatform.lake.cursors import store_cursor
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import merge_rows, stored_on_another_day
from mlplatform.lake.writer import Writer
from mlplatform.spec import Declaration, Source, StreamSource
from mlplatform.stages.contract import quarantine

if TYPE_CHECKING:
    import pyarrow as pa

    from mlplatform.contracts.check import Checked
    from mlplatform.ingest.batch import Batch

__all__ = ["allowed_share", "checked_batch", "raw_table", "store_batch", "store_no_rows"]


def raw_table(uc: Declaration, source: Source) -> str:
    """The lake table of a source."""
    return f"raw_{uc.spec.name}.{source.name}"


def checked_batch(lake: Lake, uc: Declaration, source: Source, batch: "Batch") -> "Checked":
    """The batch's good and bad rows. Raises ContractError for one that cannot be judged by row."""
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


def allowed_share(source: Source, checked: "Checked", allowed: float) -> float:
    """The share of bad rows that this batch may have: of a few messages, one that is bad is too large a share."""
    few = source.tolerated_messages if isinstance(source, StreamSource) else 0
    return 1.0 if checked.bad_rows <= few else allowed


def store_batch(
    lake: Writer, uc: Declaration, source: Source, batch: "Batch", checked: "Checked", accepted: bool
) -> int:
    """Good rows, bad rows and the cursor behind them in one transaction; returns the rows that are new or changed.

    A batch with too many bad rows keeps its good ones out and its cursor where it was: it comes again.
    """
    import pyarrow as pa

    from mlplatform.lake.evolve import fit_table

    now = datetime.now(UTC).replace(tzinfo=None)
    table, name = raw_table(uc, source), f"{source.name} {batch.name}"

    def write(con: Any) -> int:
        quarantine(con, uc, checked, name, source.name, now)
        if not accepted:
            return 0
        if batch.cursor is not None:
            store_cursor(con, table, batch.cursor, now)
        if not checked.good.num_columns:
            return 0
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
    if batch.days is None or source.partition == "none" or source.time_column is None:
        return None
    return partial(stored_on_another_day, lake, raw_table(uc, source), source.key, source.time_column)
