"""`skew_report`: features as they were served beside those that training reads, of the latest requests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows, describe_table, merge_rows
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.outcomes import key_hash

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SERVED_SKEW_CHECK", "skew_differences_table", "skew_report_asset"]

SERVED_SKEW_CHECK = "served_skew"
_DAYS = 7
"""Requests of so many days are compared again in each run: their rows reach the lake later than the service."""
_SHOWN = 50
_DESCRIPTION = "What services computed or were sent, beside the features of the same examples in the lake."
_CHECK = "The features of the latest requests are those that training reads of the same examples."


def skew_differences_table(uc: Declaration) -> str:
    """The lake table with one row per value that differs."""
    return f"{uc.spec.name}.skew_differences"


def skew_report_asset(uc: Declaration) -> dg.AssetsDefinition:
    """One row per run, and every difference in a table of its own."""
    version = code_version("lake/served_skew.py", "stages/skew_report.py", declared=uc.spec.journal)
    check = dg.AssetCheckSpec(SERVED_SKEW_CHECK, asset=asset_key(uc, "skew_report"), description=_CHECK)

    @dg.asset(
        **asset_attributes(uc, "skew_report", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "prediction_log"), asset_key(uc, "features")],
        check_specs=[check],
    )
    def skew_report(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        from mlplatform.lake.served_skew import served_skew

        opened = lake.open()
        now = datetime.now(UTC).replace(tzinfo=None)
        compared, differences = served_skew(opened, uc.spec, now - timedelta(days=_DAYS), key_hash(uc))
        _write(uc, opened, now, compared, differences)
        context.log.info(f"{compared:,} predictions compared, {differences.num_rows:,} values differ")
        yield dg.MaterializeResult(
            metadata={
                **table_metadata(describe_table(opened, _table(uc))),
                "predictions_compared": compared,
                "values_that_differ": differences.num_rows,
            },
            check_results=[_result(compared, differences)],
        )

    return skew_report


def _table(uc: Declaration) -> str:
    return f"{uc.spec.name}.skew_report"


def _write(uc: Declaration, lake: Lake, at: datetime, compared: int, differences: "pa.Table") -> None:
    import pyarrow as pa

    row = pa.table({"compared_at": [at], "predictions": [compared], "values_that_differ": [differences.num_rows]})

    def write(con: Any) -> None:
        append_rows(con, _table(uc), row)
        merge_rows(con, skew_differences_table(uc), differences, ["prediction_id", "column"])

    lake.commit(write, f"{compared} predictions compared with the features in the lake")


def _result(compared: int, differences: "pa.Table") -> dg.AssetCheckResult:
    evidence: dict[str, Any] = {"predictions_compared": compared, "values_that_differ": differences.num_rows}
    if differences.num_rows:
        shown = [
            dg.TableRecord({name: str(value) for name, value in row.items()})
            for row in differences.slice(0, _SHOWN).to_pylist()
        ]
        evidence["skewed"] = ", ".join(sorted(set(differences["column"].to_pylist())))
        evidence["differences"] = dg.MetadataValue.table(shown)
    return dg.AssetCheckResult(
        check_name=SERVED_SKEW_CHECK,
        passed=not differences.num_rows,
        # It blocks nothing: an event that reached the lake late differs, too, and only a person can tell.
        severity=dg.AssetCheckSeverity.WARN,
        metadata=evidence,
    )
