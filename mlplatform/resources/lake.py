"""The lake as a Dagster resource, and the IO manager that keeps assets in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import TableInfo, describe_table, replace_table

__all__ = ["SNAPSHOT", "LakeIOManager", "LakeResource", "recorded_metadata", "table_metadata", "table_of"]

SNAPSHOT = "lake/snapshot"
BYTES = "lake/bytes"
RAW_PREFIX = "raw_"


def table_of(key: dg.AssetKey) -> str:
    """The table of an asset: `fraud.training_set` for [fraud, training_set], `raw_fraud.x` for [fraud, raw_x]."""
    use_case, stage = key.path
    source = stage.removeprefix(RAW_PREFIX)
    return f"{use_case}.{stage}" if source == stage else f"raw_{use_case}.{source}"


class LakeResource(dg.ConfigurableResource[Any]):
    """Gives stages the lake of this process's home."""

    def open(self) -> Lake:
        """The lake; its catalog is created if there is none."""
        lake = Lake.at(Home.current())
        lake.create()
        return lake


class LakeIOManager(dg.ConfigurableIOManager):
    """Replaces the table named like an asset's key by what the asset returns (Arrow or pandas), in one transaction.

    A reader gets a DataFrame as of the snapshot that this run's materialisation recorded (else the latest one),
    whatever was written meanwhile.
    """

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write `obj` and record rows, columns, bytes and snapshot."""
        lake, table = _lake(), table_of(context.asset_key)
        done = lake.commit(lambda con: replace_table(con, table, obj), f"{table} by run {context.run_id}")
        context.add_output_metadata(table_metadata(describe_table(lake, table, done.snapshot)))

    def load_input(self, context: dg.InputContext) -> Any:
        """The table as a DataFrame."""
        table = table_of(context.asset_key)
        recorded = recorded_metadata(context.instance, context.asset_key, context.step_context.run_id)
        return _frame(_lake(), table, _snapshot(recorded))


def table_metadata(info: TableInfo) -> dict[str, Any]:
    """What Dagster shows of a table, under its well-known keys."""
    columns = [dg.TableColumn(name, kind.lower()) for name, kind in info.columns.items()]
    return {
        "dagster/row_count": info.rows,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": f"lake.{info.name}",
        SNAPSHOT: info.snapshot,
        BYTES: info.bytes,
    }


def recorded_metadata(instance: dg.DagsterInstance, key: dg.AssetKey, run_id: str) -> Mapping[str, Any]:
    """Metadata values of the materialisation of `key` in this run, else of its latest; empty if there is none.

    Two runs of one use case may overlap: a step must go on with what its own run made.
    """
    records = instance.fetch_materializations(key, limit=20).records
    own = [record for record in records if record.run_id == run_id]
    chosen = (own or list(records))[:1]
    return {
        name: value.value
        for record in chosen
        if (made := record.asset_materialization) is not None
        for name, value in made.metadata.items()
    }


# The frame that was read last, by catalog (and its inode: a new lake counts its snapshots anew), table and snapshot:
# all candidates of a run read the same one.
_read: dict[tuple[Path, int, str, int], Any] = {}


def _frame(lake: Lake, table: str, snapshot: int | None) -> Any:
    """A table as a DataFrame that is the caller's own."""
    if snapshot is None:
        return _rows(lake, table, None)
    key = (lake.catalog, lake.catalog.stat().st_ino, table, snapshot)
    frame = _read.get(key)
    if frame is None:
        frame = _rows(lake, table, snapshot)
        _read.clear()
        _read[key] = frame
    return frame.copy()


def _rows(lake: Lake, table: str, snapshot: int | None) -> Any:
    with lake.read(snapshot) as con:
        return con.execute(f"FROM {table}").df()


def _snapshot(recorded: Mapping[str, Any]) -> int | None:
    return int(recorded[SNAPSHOT]) if SNAPSHOT in recorded else None


def _lake() -> Lake:
    return LakeResource().open()
