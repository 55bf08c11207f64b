"""`raw_<source>`: rows as they arrived, once by key; rows that break the contract go to quarantine with reasons."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.ingest.days import Days, declared_days
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table, keys_outside, merge_rows
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration, PythonSource, Source
from mlplatform.stages.code_version import code_version
from mlplatform.stages.contract import CONTRACT_CHECK, Tally, contract_file, quarantine
from mlplatform.stages.naming import asset_attributes, asset_key, check_result, check_spec

if TYPE_CHECKING:
    from mlplatform.contracts.check import Checked
    from mlplatform.ingest.base import Reader

__all__ = ["partitions_of", "raw_asset", "raw_table"]

# A month of the simulator is 300,000 rows: large enough to be quick, small enough to stay far below a GiB.
_DAYS_PER_COMMIT = 31


def raw_table(uc: Declaration, source: Source) -> str:
    """The lake table of a source."""
    return f"raw_{uc.spec.name}.{source.name}"


def partitions_of(source: Source) -> dg.DailyPartitionsDefinition:
    """One partition a day, from the source's first day to its last (or today)."""
    behind = date.fromisoformat(source.end) + timedelta(days=1) if source.end else None
    return dg.DailyPartitionsDefinition(start_date=source.start, end_date=behind.isoformat() if behind else None)


def raw_asset(uc: Declaration, source: Source) -> dg.AssetsDefinition:
    """Ingest the run's partitions, or, in a run without partitions, all days that the source has."""
    stage = f"raw_{source.name}"
    description = f"Rows of `{source.name}` as they arrived, one each by {', '.join(source.key)}, with `_loaded_at`."
    own = [uc.folder / f"{source.module}.py"] if isinstance(source, PythonSource) else []
    version = code_version("ingest", "contracts", "stages/raw.py", contract_file(uc), *own, declared=source)

    @dg.asset(
        **asset_attributes(uc, stage, description, {"duckdb", source.kind}, "data", version),
        partitions_def=partitions_of(source),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(uc, stage, CONTRACT_CHECK, "Share of rows that break the contract stays small.")],
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        from mlplatform.ingest.open import open_reader

        reader = open_reader(source, uc.folder)
        days = _days_of(context, source, reader)
        left_out = None if _partitioned(context) else _left_out(source, reader.available())
        if left_out:
            context.log.warning(f"{source.name}: {left_out}")
        opened = lake.open()
        tally, touched = Tally(), 0
        for chunk in days.chunks(_DAYS_PER_COMMIT):
            checked = _read_and_check(uc, source, reader, chunk, opened)
            touched += _store(opened, uc, source, checked, f"{source.name} {chunk}")
            context.log.info(f"{chunk}: {len(checked.good):,} rows kept, {len(checked.bad):,} in quarantine")
            if checked.bad_share > uc.spec.contract.max_bad_share:
                refused = {"batch": str(chunk), **Tally().plus(checked).evidence(uc)}
                yield check_result(CONTRACT_CHECK, passed=False, metadata=refused)
                checked.require(uc.spec.contract.max_bad_share, f"{source.name} {chunk}")
            tally = tally.plus(checked)
        yield from _record(context, uc, source, days, opened, touched, tally, left_out)

    return raw


def _days_of(context: dg.AssetExecutionContext, source: Source, reader: "Reader") -> Days:
    if _partitioned(context):
        window = context.partition_time_window
        return Days(window.start.date(), window.end.date())
    days = declared_days(source, reader.available())
    return days if days is not None else _nothing_there(source)


def _partitioned(context: dg.AssetExecutionContext) -> bool:
    return bool(context.has_partition_key or context.has_partition_key_range)


def _left_out(source: Source, available: tuple[date, date] | None) -> str | None:
    """The days that the source has and the declaration does not ask for, in words."""
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
        f"source `{source.name}` holds no row from {source.start} to {source.end or 'today'}; "
        "check its path or parameters, and `start` and `end`, in defs.yaml"
    )


def _read_and_check(uc: Declaration, source: Source, reader: "Reader", days: Days, lake: Lake) -> "Checked":
    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract

    schema = load_contract(uc.folder, uc.spec.contract.module, source.name)
    behind = datetime.combine(days.end, datetime.min.time())
    rows = reader.read(days.start, days.end)
    taken = partial(keys_outside, lake, raw_table(uc, source), source.time_column, days.start, days.end)
    return check_rows(schema, rows, key=source.key, time_column=source.time_column, before=behind, taken=taken)


def _store(lake: Lake, uc: Declaration, source: Source, checked: "Checked", batch: str) -> int:
    """Good and bad rows in one transaction. A batch with too many bad rows keeps its good ones out: it comes again."""
    import pyarrow as pa

    now = datetime.now(UTC).replace(tzinfo=None)
    accepted = checked.bad_share <= uc.spec.contract.max_bad_share
    good = checked.good.append_column("_loaded_at", pa.array([now] * len(checked.good), pa.timestamp("us")))

    def write(con: Any) -> int:
        quarantine(con, uc, checked, batch, source.name, now)
        return merge_rows(con, raw_table(uc, source), good, source.key) if accepted else 0

    return lake.commit(write, f"ingest {batch}").value


def _record(
    context: dg.AssetExecutionContext,
    uc: Declaration,
    source: Source,
    days: Days,
    lake: Lake,
    touched: int,
    tally: Tally,
    left_out: str | None,
) -> Iterator[Any]:
    table = describe_table(lake, raw_table(uc, source))
    metadata = {**table_metadata(table), "days": str(days), "rows_new_or_changed": touched}
    if left_out:
        metadata["left_out"] = left_out
    if not _partitioned(context):
        key = asset_key(uc, f"raw_{source.name}")
        for day in days.keys():  # noqa: SIM118 - not a dict
            context.log_event(dg.AssetMaterialization(key, partition=day))
    yield dg.MaterializeResult(
        metadata=metadata, check_results=[check_result(CONTRACT_CHECK, passed=True, metadata=tally.evidence(uc))]
    )
