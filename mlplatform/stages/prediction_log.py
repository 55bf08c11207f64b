"""`prediction_log`: what services answered, from their journals into the lake, each prediction once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.predictions import outcomes_table, prediction_table
from mlplatform.lake.tables import columns_of, describe_table
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    from mlplatform.serving.journal_ingest import Ingested
    from mlplatform.serving.journal_losses import Losses

__all__ = ["prediction_log_asset"]

_DESCRIPTION = "Every prediction that a service gave: what it was about, features, answer, reasons, version, latency."


def prediction_log_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Read the journal's segments as far as they go; forget what is older than the declared days."""
    version = code_version("serving/journal_ingest.py", "stages/prediction_log.py", declared=uc.spec.journal)

    @dg.asset(
        **asset_attributes(uc, "prediction_log", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "deployment")],
    )
    def prediction_log(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        from mlplatform.serving.journal_ingest import ingest_journal

        opened, table = lake.open(), prediction_table(uc.spec)
        done = ingest_journal(opened, Home.current().journal(uc.spec.name), table, uc.spec.entity_keys)
        context.log.info(f"{done.rows:,} new predictions from {done.segments} segments")
        if done.unreadable:
            context.log.warning(f"{done.unreadable} lines of the journal are no entries; see {table}_unreadable")
        forgotten = _forget(uc, opened)
        _forget_unreadable(uc, opened)
        lost = _lost(uc)
        if lost.last:
            context.log.warning(str(lost))
        told = {"forgotten": forgotten, "lost_predictions": lost.predictions}
        yield dg.MaterializeResult(metadata={**_metadata(uc, opened, done), **told})

    return prediction_log


def _forget(uc: Declaration, lake: Lake) -> int:
    """Remove predictions, and outcomes, that are older than they may be kept, also if their service is quiet now.

    By the clock on the wall: a service whose clock runs ahead makes nobody's predictions old.
    """
    table, outcomes = prediction_table(uc.spec), outcomes_table(uc.spec)
    oldest = (datetime.now(UTC) - timedelta(days=uc.spec.journal.keep_days)).replace(tzinfo=None)
    with lake.read() as con:
        row = con.execute(f"SELECT min(predicted_at) FROM {table}").fetchone()
    if row is None or row[0] is None or row[0] >= oldest:
        return 0

    def remove(con: Any) -> int:
        if table_exists(con, outcomes):
            con.execute(
                f"DELETE FROM {outcomes} WHERE prediction_id IN "
                f"(SELECT prediction_id FROM {table} WHERE predicted_at < ?)",
                [oldest],
            )
        return int((con.execute(f"DELETE FROM {table} WHERE predicted_at < ?", [oldest]).fetchone() or (0,))[0])

    return lake.commit(remove, f"forget predictions before {oldest:%Y-%m-%d}").value


def _forget_unreadable(uc: Declaration, lake: Lake) -> None:
    """Lines that are no entries may hold what a prediction holds; they say no time but that of their reading."""
    table = f"{prediction_table(uc.spec)}_unreadable"
    if not lake.has_table(table):
        return
    old = [(datetime.now(UTC) - timedelta(days=uc.spec.journal.keep_days)).replace(tzinfo=None)]
    with lake.read() as con:
        if "read_at" not in columns_of(con, table):
            # Of an earlier version: the next such line brings the column.
            return
        row = con.execute(f"SELECT count(*) FROM {table} WHERE read_at < ?", old).fetchone()
    if row and row[0]:
        lake.commit(lambda con: con.execute(f"DELETE FROM {table} WHERE read_at < ?", old), f"forget lines of {table}")


def _lost(uc: Declaration) -> "Losses":
    """What services could not write down; forgotten with the predictions of that time."""
    from mlplatform.serving.journal_losses import forget_losses, read_losses

    journal = Home.current().journal(uc.spec.name)
    forget_losses(journal, (datetime.now(UTC) - timedelta(days=uc.spec.journal.keep_days)).replace(tzinfo=None))
    return read_losses(journal)


def _metadata(uc: Declaration, lake: Lake, done: "Ingested") -> dict[str, Any]:
    from mlplatform.ml.monitoring_plots import plot_predictions_over_time

    info = table_metadata(describe_table(lake, prediction_table(uc.spec)))
    with lake.read() as con:
        days = con.execute(
            "SELECT date_trunc('day', event_time) AS day, model_version, role, count(*) AS predictions, "
            "quantile_cont(latency_ms, 0.5) AS p50, quantile_cont(latency_ms, 0.99) AS p99 "
            # Rows from before such times were refused.
            f"FROM {prediction_table(uc.spec)} WHERE event_time IS NULL OR year(event_time) BETWEEN 1900 AND 2199 "
            "GROUP BY ALL ORDER BY ALL"
        ).df()
    if len(days):
        champion = days[days["role"] == "champion"]
        if len(champion):
            info["latest_p99_ms"] = round(float(champion["p99"].iloc[-1]), 2)
        info["over_time"] = picture(plot_predictions_over_time(days), "predictions over time")
    told = {"new_predictions": done.rows, "torn_bytes": done.torn_bytes, "unreadable_lines": done.unreadable}
    return {**info, **told}
