"""`raw_<source>`: rows as they arrived, once by key; rows that break the contract go to quarantine with reasons."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import SpecError
from mlplatform.ingest.days import Days
from mlplatform.lake.cursors import read_cursor, store_cursor
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table, merge_rows, stored_on_another_day
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration, PythonSource, Source, StreamSource
from mlplatform.stages.code_version import code_version
from mlplatform.stages.contract import CONTRACT_CHECK, Tally, contract_file, contract_result, quarantine, tolerance
from mlplatform.stages.naming import asset_attributes, asset_key, check_result, check_spec

if TYPE_CHECKING:
    import pyarrow as pa

    from mlplatform.contracts.check import Checked
    from mlplatform.ingest.batch import Batch
    from mlplatform.ingest.reading import Reading

__all__ = ["partitions_of", "raw_asset", "raw_table"]

_BACKFILL = {
    "first_day": dg.Field(str, is_required=False, description="Read the days from this one (YYYY-MM-DD) on once more."),
    "last_day": dg.Field(str, is_required=False, description="The last of them; left out, today."),
}


def raw_table(uc: Declaration, source: Source) -> str:
    """The lake table of a source."""
    return f"raw_{uc.spec.name}.{source.name}"


def partitions_of(source: Source) -> dg.DailyPartitionsDefinition | dg.MonthlyPartitionsDefinition | None:
    """One partition a day or a month, from the source's first day to its last (or today); None where it has none."""
    if source.partition == "none" or source.start is None:
        return None
    start = date.fromisoformat(source.start)
    behind = date.fromisoformat(source.end) + timedelta(days=1) if source.end else None
    if source.partition == "day":
        return dg.DailyPartitionsDefinition(start_date=source.start, end_date=behind.isoformat() if behind else None)
    # Whole months: the first is that of `start`, the last that of `end`, or the present one (`end_offset`), which is
    # read again until it is over.
    return dg.MonthlyPartitionsDefinition(
        start_date=start.replace(day=1).isoformat(),
        end_date=_month_behind(behind).isoformat() if behind else None,
        end_offset=0 if behind else 1,
    )


def raw_asset(uc: Declaration, source: Source) -> dg.AssetsDefinition:
    """Ingest the run's partitions, or, in a run without partitions, all that the source has, or has had since."""
    stage = f"raw_{source.name}"
    description = f"Rows of `{source.name}` as they arrived, one each by {', '.join(source.key)}, with `_loaded_at`."
    own = [uc.folder / f"{source.module}.py"] if isinstance(source, PythonSource) else []
    version = code_version(
        "ingest", "contracts", "stages/raw.py", contract_file(uc), *own, declared=source, without={"freshness"}
    )
    partitions = partitions_of(source)

    @dg.asset(
        **asset_attributes(uc, stage, description, {"duckdb", source.kind}, "data", version),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        config_schema=_BACKFILL if source.goes_on else None,
        check_specs=[check_spec(uc, stage, CONTRACT_CHECK, "Share of rows that break the contract stays small.")],
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        opened, allowed = lake.open(), tolerance(context, uc)
        reading = _reading(context, uc, source, opened)
        if reading.left_out:
            context.log.warning(f"{source.name}: {reading.left_out}")
        done = _Done()
        # Closed, so that a source lets go of what it was not told is committed.
        with closing(reading.batches) as batches:
            for batch in batches:
                checked = _checked(uc, source, batch, _taken(opened, uc, source, batch))
                accepted = checked.bad_share <= _allowed(source, checked, allowed)
                touched = _store(opened, uc, source, batch, checked, accepted)
                context.log.info(f"{batch.name}: {len(checked.good):,} rows kept, {checked.bad_rows:,} in quarantine")
                if not accepted:
                    refused = {"batch": batch.name, **Tally().plus(checked).evidence(uc)}
                    yield check_result(CONTRACT_CHECK, passed=False, metadata=refused)
                    checked.require(allowed, f"{source.name} {batch.name}")
                done = done.plus(checked, touched)
        yield from _record(context, uc, source, reading, opened, done, contract_result(uc, done.tally, allowed))

    return raw


@dataclass(frozen=True)
class _Done:
    """What a run has stored so far."""

    tally: Tally = field(default_factory=Tally)
    touched: int = 0
    replaced: int = 0
    left_out: tuple[str, ...] = ()

    def plus(self, checked: "Checked", touched: int) -> "_Done":
        left_out = tuple(dict.fromkeys((*self.left_out, *checked.left_out)))
        return _Done(self.tally.plus(checked), self.touched + touched, self.replaced + checked.replaced, left_out)


def _reading(context: dg.AssetExecutionContext, uc: Declaration, source: Source, lake: Lake) -> "Reading":
    from mlplatform.ingest.reading import read_source

    cursor, again = read_cursor(lake, raw_table(uc, source)) if source.goes_on else None, False
    days = None
    if _partitioned(context, source):
        window = context.partition_time_window
        days = Days(window.start.date(), window.end.date())
    elif source.goes_on:
        days = _backfill_days(source, context.op_execution_context.op_config or {})
        again = days is not None
    columns = None
    if source.row_id is not None:
        from mlplatform.contracts.load import load_contract

        columns = list(load_contract(uc.folder, uc.spec.contract.module, source.name).to_schema().columns)
    return read_source(source, uc.folder, cursor=cursor, days=days, again=again, columns=columns)


def _backfill_days(source: Source, config: dict[str, str]) -> Days | None:
    """The days that a run's configuration asks for once more."""
    first, last = config.get("first_day"), config.get("last_day")
    if first is None and last is None:
        return None
    try:
        start = date.fromisoformat(first or "")
        end = date.fromisoformat(last) if last else datetime.now(UTC).date()
    except ValueError:
        start, end = date.max, date.min
    if start > end:
        raise SpecError(
            f"source `{source.name}`: a backfill needs `first_day` and, not before it, `last_day`, as YYYY-MM-DD; it "
            f"was given {first!r} and {last!r}"
        )
    return Days(start, end + timedelta(days=1))


def _partitioned(context: dg.AssetExecutionContext, source: Source) -> bool:
    """Whether the run is over partitions of this source: one beside a partitioned source is still read whole."""
    return source.partition != "none" and bool(context.has_partition_key or context.has_partition_key_range)


def _month_behind(day: date) -> date:
    """The first of the month that holds `day`, or of the next one if `day` lies inside it."""
    first = day.replace(day=1)
    return first if first == day else (first + timedelta(days=32)).replace(day=1)


def _taken(lake: Lake, uc: Declaration, source: Source, batch: "Batch") -> "Callable[[pa.Table], pa.Table] | None":
    """Which rows are another row of a stored name. Where all is read in each run, the row that comes is the row."""
    if batch.days is None or source.partition == "none" or source.time_column is None:
        return None
    return partial(stored_on_another_day, lake, raw_table(uc, source), source.key, source.time_column)


def _checked(
    uc: Declaration, source: Source, batch: "Batch", taken: "Callable[[pa.Table], pa.Table] | None"
) -> "Checked":
    from mlplatform.contracts.check import check_rows, nothing_checked
    from mlplatform.contracts.load import load_contract

    schema = load_contract(uc.folder, uc.spec.contract.module, source.name)
    if source.goes_on and not len(batch.rows):
        return nothing_checked(batch.refused)
    behind = datetime.combine(batch.days.end, datetime.min.time()) if batch.days else batch.latest
    return check_rows(
        schema,
        batch.rows,
        key=source.key,
        time_column=source.time_column,
        before=behind,
        taken=taken,
        # What goes on is a sequence of changes; a range of days, or a table, is a set of rows.
        repeats="replace" if source.goes_on else "refuse",
        schema_change=source.schema_change,
        absent="missing" if source.absent_is_missing else "refuse",
        unread=batch.refused,
    )


def _allowed(source: Source, checked: "Checked", allowed: float) -> float:
    """The share of bad rows that this batch may have: of a few messages, one that is bad is too large a share."""
    few = source.tolerated_messages if isinstance(source, StreamSource) else 0
    return 1.0 if checked.bad_rows <= few else allowed


def _store(lake: Lake, uc: Declaration, source: Source, batch: "Batch", checked: "Checked", accepted: bool) -> int:
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
        good = checked.good.append_column("_loaded_at", pa.array([now] * len(checked.good), pa.timestamp("us")))
        if source.schema_change == "evolve":
            fit_table(con, table, good)
        return merge_rows(con, table, good, source.key)

    return lake.commit(write, f"ingest {name}").value


def _record(
    context: dg.AssetExecutionContext,
    uc: Declaration,
    source: Source,
    reading: "Reading",
    lake: Lake,
    done: _Done,
    checked: dg.AssetCheckResult,
) -> Iterator[Any]:
    from mlplatform.ingest.reading import nothing_there

    if source.goes_on and not lake.has_table(raw_table(uc, source)):
        nothing_there(source)
    table = describe_table(lake, raw_table(uc, source))
    told = "behind the cursor" if source.goes_on else "no time"
    metadata = {**table_metadata(table), "days": str(reading.days or told), "rows_new_or_changed": done.touched}
    if reading.left_out:
        metadata["left_out"] = reading.left_out
    if done.left_out:
        metadata["columns_not_in_the_contract"] = ", ".join(done.left_out)
    if source.goes_on:
        # That of files names each of them: thousands, in every run's record.
        metadata["cursor"] = _short(read_cursor(lake, raw_table(uc, source)) or "none")
        metadata["rows_replaced_within_a_batch"] = done.replaced
    if reading.days and source.partition != "none" and not _partitioned(context, source):
        key = asset_key(uc, f"raw_{source.name}")
        for partition in reading.days.keys(source.partition):
            context.log_event(dg.AssetMaterialization(key, partition=partition))
    yield dg.MaterializeResult(metadata=metadata, check_results=[checked])


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."
