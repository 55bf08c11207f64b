"""`raw_<source>`: rows as they arrived, once by key; rows that break the contract go to quarantine with reasons."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.ingest.days import Days, declared_days
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table, merge_rows, stored_on_another_day
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration, PythonSource, Source
from mlplatform.stages.code_version import code_version
from mlplatform.stages.contract import CONTRACT_CHECK, Tally, contract_file, contract_result, quarantine, tolerance
from mlplatform.stages.naming import asset_attributes, asset_key, check_result, check_spec

if TYPE_CHECKING:
    import pyarrow as pa

    from mlplatform.contracts.check import Checked
    from mlplatform.ingest.base import Reader

__all__ = ["partitions_of", "raw_asset", "raw_table"]

# A month of the simulator is 300,000 rows: large enough to be quick, small enough to stay far below a GiB.
_DAYS_PER_COMMIT = 31


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
    """Ingest the run's partitions, or, in a run without partitions, all that the source has."""
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
        check_specs=[check_spec(uc, stage, CONTRACT_CHECK, "Share of rows that break the contract stays small.")],
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        plan = _plan(context, uc, source)
        if plan.left_out:
            context.log.warning(f"{source.name}: {plan.left_out}")
        opened, allowed = lake.open(), tolerance(context, uc)
        tally, touched = Tally(), 0
        for batch in plan.batches:
            checked = _read_and_check(uc, source, batch, _taken(opened, uc, source, batch))
            touched += _store(opened, uc, source, checked, f"{source.name} {batch.name}", allowed)
            context.log.info(f"{batch.name}: {len(checked.good):,} rows kept, {len(checked.bad):,} in quarantine")
            if checked.bad_share > allowed:
                refused = {"batch": batch.name, **Tally().plus(checked).evidence(uc)}
                yield check_result(CONTRACT_CHECK, passed=False, metadata=refused)
                checked.require(allowed, f"{source.name} {batch.name}")
            tally = tally.plus(checked)
        yield from _record(context, uc, source, plan, opened, touched, contract_result(uc, tally, allowed))

    return raw


@dataclass(frozen=True)
class _Batch:
    """Rows that are read, checked and committed together."""

    name: str
    read: Callable[[], "pa.Table"]
    days: Days | None
    """None: the rows have no time."""


@dataclass(frozen=True)
class _Plan:
    """What one run reads of a source."""

    batches: list[_Batch]
    days: Days | None
    left_out: str | None = None
    """Days that the source has and the declaration does not ask for, in words."""


def _plan(context: dg.AssetExecutionContext, uc: Declaration, source: Source) -> _Plan:
    from mlplatform.ingest.open import open_reader, open_table

    if source.time_column is None:
        return _Plan([_Batch("all rows", open_table(source, uc.folder).read_all, None)], None)
    reader = open_reader(source, uc.folder)
    if _partitioned(context, source):
        window = context.partition_time_window
        days = _declared_part(source, Days(window.start.date(), window.end.date()))
        return _Plan(_batches(reader, days.chunks(_DAYS_PER_COMMIT)), days)
    available = reader.available()
    days = declared_days(source, available) or _nothing_there(source)
    chunks = [days] if source.partition == "none" else days.chunks(_DAYS_PER_COMMIT)
    return _Plan(_batches(reader, chunks), days, _left_out(source, available))


def _batches(reader: "Reader", chunks: Iterable[Days]) -> list[_Batch]:
    return [_Batch(str(chunk), partial(reader.read, chunk.start, chunk.end), chunk) for chunk in chunks]


def _partitioned(context: dg.AssetExecutionContext, source: Source) -> bool:
    """Whether the run is over partitions of this source: one beside a partitioned source is still read whole."""
    return source.partition != "none" and bool(context.has_partition_key or context.has_partition_key_range)


def _declared_part(source: Source, days: Days) -> Days:
    """Partitions of months may reach beyond the declared days."""
    return declared_days(source, (days.start, days.end)) or _nothing_there(source)


def _month_behind(day: date) -> date:
    """The first of the month that holds `day`, or of the next one if `day` lies inside it."""
    first = day.replace(day=1)
    return first if first == day else (first + timedelta(days=32)).replace(day=1)


def _left_out(source: Source, available: tuple[date, date] | None) -> str | None:
    days = declared_days(source, available)
    if available is None or days is None:
        return None
    first, behind = available
    parts = [
        *([f"{Days(first, days.start)} (before `start`)"] if first < days.start else []),
        *([f"{Days(days.end, behind)} (after `end`)"] if days.end < behind else []),
    ]
    return f"the source also has {' and '.join(parts)}; those days are left out" if parts else None


def _nothing_there(source: Source) -> Any:
    from mlplatform.errors import SourceError

    raise SourceError(
        f"source `{source.name}` holds no row from {source.start or 'its beginning'} to {source.end or 'today'}; "
        "check its path or parameters, and `start` and `end`, in defs.yaml"
    )


def _taken(lake: Lake, uc: Declaration, source: Source, batch: _Batch) -> "Callable[[pa.Table], pa.Table] | None":
    """Which rows are another row of a stored name. Where all is read in each run, the row that comes is the row."""
    if batch.days is None or source.partition == "none" or source.time_column is None:
        return None
    return partial(stored_on_another_day, lake, raw_table(uc, source), source.key, source.time_column)


def _read_and_check(
    uc: Declaration, source: Source, batch: _Batch, taken: "Callable[[pa.Table], pa.Table] | None"
) -> "Checked":
    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract

    schema = load_contract(uc.folder, uc.spec.contract.module, source.name)
    behind = datetime.combine(batch.days.end, datetime.min.time()) if batch.days else None
    rows = batch.read()
    if not batch.days and not len(rows):
        _nothing_there(source)
    return check_rows(schema, rows, key=source.key, time_column=source.time_column, before=behind, taken=taken)


def _store(lake: Lake, uc: Declaration, source: Source, checked: "Checked", batch: str, allowed: float) -> int:
    """Good and bad rows in one transaction. A batch with too many bad rows keeps its good ones out: it comes again."""
    import pyarrow as pa

    now = datetime.now(UTC).replace(tzinfo=None)
    accepted = checked.bad_share <= allowed
    good = checked.good.append_column("_loaded_at", pa.array([now] * len(checked.good), pa.timestamp("us")))

    def write(con: Any) -> int:
        quarantine(con, uc, checked, batch, source.name, now)
        return merge_rows(con, raw_table(uc, source), good, source.key) if accepted else 0

    return lake.commit(write, f"ingest {batch}").value


def _record(
    context: dg.AssetExecutionContext,
    uc: Declaration,
    source: Source,
    plan: _Plan,
    lake: Lake,
    touched: int,
    checked: dg.AssetCheckResult,
) -> Iterator[Any]:
    table = describe_table(lake, raw_table(uc, source))
    metadata = {**table_metadata(table), "days": str(plan.days or "no time"), "rows_new_or_changed": touched}
    if plan.left_out:
        metadata["left_out"] = plan.left_out
    if plan.days and source.partition != "none" and not _partitioned(context, source):
        key = asset_key(uc, f"raw_{source.name}")
        for partition in plan.days.keys(source.partition):
            context.log_event(dg.AssetMaterialization(key, partition=partition))
    yield dg.MaterializeResult(metadata=metadata, check_results=[checked])
