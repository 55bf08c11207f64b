"""`raw_<source>`: rows as they arrived, once by key; rows that break the contract go to quarantine with reasons."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.ingest.days import Days
from mlplatform.lake.cursors import read_cursor, read_mark
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table
from mlplatform.lake.writer import writer
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration, PythonSource, Source
from mlplatform.stages.code_version import code_version
from mlplatform.stages.contract import CONTRACT_CHECK, Tally, contract_file, contract_result, tolerance
from mlplatform.stages.naming import asset_attributes, asset_key, check_result, check_spec
from mlplatform.stages.raw_batch import ingest_batch, raw_table, store_no_rows
from mlplatform.stages.raw_days import BACKFILL, backfill_days, is_partitioned, partitions_of

if TYPE_CHECKING:
    from mlplatform.contracts.check import Checked
    from mlplatform.ingest.reading import Reading

__all__ = ["raw_asset"]

_CODE = ("stages/raw.py", "stages/raw_batch.py", "stages/raw_days.py")


def raw_asset(uc: Declaration, source: Source) -> dg.AssetsDefinition:
    """Ingest the run's partitions, or, in a run without partitions, all that the source has, or has had since."""
    stage = f"raw_{source.name}"
    description = f"Rows of `{source.name}` as they arrived, one each by {', '.join(source.key)}, with `_loaded_at`."
    own = [uc.folder / f"{source.module}.py"] if isinstance(source, PythonSource) else []
    version = code_version(
        "ingest", "contracts", *_CODE, contract_file(uc), *own, declared=source, without={"freshness"}
    )
    partitions = partitions_of(source)

    @dg.asset(
        **asset_attributes(uc, stage, description, {"duckdb", source.kind}, "data", version),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        config_schema=BACKFILL if source.goes_on else None,
        check_specs=[check_spec(uc, stage, CONTRACT_CHECK, "Share of rows that break the contract stays small.")],
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        opened, allowed = lake.open(), tolerance(context, uc)
        found = read_mark(opened, raw_table(uc, source))
        reading = _reading(context, uc, source, found.cursor)
        # Of days others may be read at the same time.
        mark = found if reading.days is None else None
        if reading.left_out:
            context.log.warning(f"{source.name}: {reading.left_out}")
        done = _Done()
        # Closed, so that a source lets go of what it was not told is committed.
        with writer(opened) as lake_writer, closing(reading.batches) as batches:
            for batch in batches:
                stored = ingest_batch(lake_writer, uc, source, batch, allowed=allowed, before=mark)
                checked, mark = stored.checked, stored.mark
                context.log.info(f"{batch.name}: {len(checked.good):,} rows kept, {checked.bad_rows:,} in quarantine")
                if not stored.accepted:
                    refused = {"batch": batch.name, **Tally().plus(checked).evidence(uc)}
                    yield check_result(CONTRACT_CHECK, passed=False, metadata=refused)
                    checked.require(allowed, f"{source.name} {batch.name}")
                if batch.left_out:
                    context.log.warning(f"{source.name}: {batch.left_out}")
                done = done.plus(checked, stored.touched, batch.left_out)
        yield from _record(context, uc, source, reading, opened, done, contract_result(uc, done.tally, allowed))

    return raw


@dataclass(frozen=True)
class _Done:
    """What a run has stored so far."""

    tally: Tally = field(default_factory=Tally)
    touched: int = 0
    replaced: int = 0
    columns_left_out: tuple[str, ...] = ()
    rows_left_out: tuple[str, ...] = ()

    def plus(self, checked: "Checked", touched: int, left_out: str | None) -> "_Done":
        return _Done(
            self.tally.plus(checked),
            self.touched + touched,
            self.replaced + checked.replaced,
            tuple(dict.fromkeys((*self.columns_left_out, *checked.left_out))),
            tuple(dict.fromkeys((*self.rows_left_out, *([left_out] if left_out else [])))),
        )


def _reading(context: dg.AssetExecutionContext, uc: Declaration, source: Source, cursor: str | None) -> "Reading":
    from mlplatform.ingest.reading import read_source

    days, again = None, False
    if is_partitioned(context, source):
        window = context.partition_time_window
        days = Days(window.start.date(), window.end.date())
    elif source.goes_on:
        days = backfill_days(source, context.op_execution_context.op_config or {})
        again = days is not None
    columns = None
    if source.row_id is not None:
        from mlplatform.contracts.load import load_contract

        columns = list(load_contract(uc.folder, uc.spec.contract.module, source.name).to_schema().columns)
    return read_source(source, uc.folder, cursor=cursor, days=days, again=again, columns=columns)


def _record(
    context: dg.AssetExecutionContext,
    uc: Declaration,
    source: Source,
    reading: "Reading",
    lake: Lake,
    done: _Done,
    checked: dg.AssetCheckResult,
) -> Iterator[Any]:
    cursor = read_cursor(lake, raw_table(uc, source)) if source.goes_on else None
    waits = _still_empty(uc, source, lake, cursor) if source.goes_on else None
    table = describe_table(lake, raw_table(uc, source))
    told = "behind the cursor" if source.goes_on else "no time"
    metadata = {**table_metadata(table), "days": str(reading.days or told), "rows_new_or_changed": done.touched}
    if waits:
        context.log.warning(waits)
        metadata["nothing_yet"] = waits
    if left_out := [*([reading.left_out] if reading.left_out else []), *done.rows_left_out]:
        metadata["left_out"] = "; ".join(left_out)
    if done.columns_left_out:
        metadata["columns_not_in_the_contract"] = ", ".join(done.columns_left_out)
    if source.goes_on:
        # That of files names each of them: thousands, in every run's record.
        metadata["cursor"] = _short(cursor or "none")
        metadata["rows_replaced_within_a_batch"] = done.replaced
    if reading.days and source.partition != "none" and not is_partitioned(context, source):
        key = asset_key(uc, f"raw_{source.name}")
        for partition in reading.days.keys(source.partition):
            context.log_event(dg.AssetMaterialization(key, partition=partition))
    yield dg.MaterializeResult(metadata=metadata, check_results=[checked])


def _still_empty(uc: Declaration, source: Source, lake: Lake, cursor: str | None) -> str | None:
    """Why a stream that has had no message is no failure; its table is there, so that what reads it finds one."""
    from mlplatform.ingest.reading import nothing_there, nothing_yet

    waits = nothing_yet(source)
    if not lake.has_table(raw_table(uc, source)):
        if waits is None:
            nothing_there(source)
        store_no_rows(lake, uc, source)
    return waits if cursor is None else None


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."
