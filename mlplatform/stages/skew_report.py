"""`skew_report`: features as they were served beside those that training reads, of the latest requests."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.tables import append_rows, columns_of, describe_table, merge_rows, widen
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.outcomes import key_hash
from mlplatform.stages.skew_block import accepted_until, skew_report_table
from mlplatform.stages.trained import FEATURE_QUERY_FILE

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["SERVED_SKEW_CHECK", "skew_differences_table", "skew_report_asset"]

SERVED_SKEW_CHECK = "served_skew"
_DAYS = 7
"""Requests of so many days are compared again in each run: their rows reach the lake later than the service."""
_SHOWN = 50
_DESCRIPTION = "What services computed or were sent, beside the features of the same examples in the lake."
_CHECK = (
    "The features of the latest requests are those that training reads of the same examples. Late history is listed "
    "and does not count. While it fails, no candidate is promoted."
)


def skew_differences_table(uc: Declaration) -> str:
    """The lake table with one row per value that differs."""
    return f"{uc.spec.name}.skew_differences"


def skew_report_asset(uc: Declaration) -> dg.AssetsDefinition:
    """One row per run, and every difference in a table of its own."""
    code = ("served_skew", "skew_causes", "late_history")
    version = code_version(
        *(f"lake/{name}.py" for name in code), "stages/skew_report.py", "stages/skew_block.py", declared=uc.spec.journal
    )
    check = dg.AssetCheckSpec(SERVED_SKEW_CHECK, asset=asset_key(uc, "skew_report"), description=_CHECK)

    @dg.asset(
        **asset_attributes(uc, "skew_report", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "prediction_log"), asset_key(uc, "features")],
        check_specs=[check],
    )
    def skew_report(context: dg.AssetExecutionContext, lake: LakeResource, tracking: Tracking) -> Iterator[Any]:
        opened = lake.open()
        now = datetime.now(UTC).replace(tzinfo=None)
        compared, differences = _compare(uc, opened, tracking, now)
        with opened.read() as con:
            accepted = accepted_until(con, uc)
        skewed = _open(differences, accepted)
        _write(uc, opened, now, compared, differences, skewed)
        context.log.info(f"{compared:,} predictions compared, {differences.num_rows:,} values differ")
        numbers = {"predictions_compared": compared, **_counts(differences, skewed)}
        yield dg.MaterializeResult(
            metadata={**table_metadata(describe_table(opened, skew_report_table(uc))), **numbers},
            check_results=[_result(numbers, differences, skewed)],
        )

    return skew_report


def _compare(uc: Declaration, lake: Lake, tracking: Tracking, now: datetime) -> "tuple[int, pa.Table]":
    from mlplatform.lake.feature_query import FeatureQuery
    from mlplatform.lake.served_skew import served_skew
    from mlplatform.lake.skew_causes import with_causes

    query = FeatureQuery.load(Home.current().feature_query(uc.spec.name))
    compared, differences = served_skew(lake, uc.spec, now - timedelta(days=_DAYS), key_hash(uc), query.key)
    versions = {int(version) for version in differences["model_version"].to_pylist()}
    other = {version for version in versions if _text_of(uc, tracking, version) not in (None, query.sql)}
    return compared, _with_told_causes(uc, lake, with_causes(lake, query, differences, other))


def _with_told_causes(uc: Declaration, lake: Lake, differences: "pa.Table") -> "pa.Table":
    """What this report did not compute again keeps the cause that an earlier one found."""
    from mlplatform.lake.skew_causes import NOT_LOOKED_AT

    stored = skew_differences_table(uc)
    with lake.read() as con:
        if not table_exists(con, stored) or "cause" not in columns_of(con, stored):
            return differences
        con.register("_found", differences)
        return con.execute(
            "SELECT f.* REPLACE (CASE WHEN f.cause = $none THEN coalesce(k.cause, f.cause) ELSE f.cause END AS cause, "
            'CASE WHEN f.cause = $none THEN coalesce(k."then", f."then") ELSE f."then" END AS "then") '
            f"FROM _found AS f LEFT JOIN {stored} AS k "
            'ON k.prediction_id = f.prediction_id AND k."column" = f."column" '
            'ORDER BY f.predicted_at, f.prediction_id, f."column"',
            {"none": NOT_LOOKED_AT},
        ).to_arrow_table()


def _text_of(uc: Declaration, tracking: Tracking, version: int) -> str | None:
    """The text that a version learned from; None where it is not known."""
    from mlplatform.lake.feature_query import FeatureQuery

    registered = tracking.version(uc.spec.name, version)
    file = tracking.model_folder(registered.run_id) / FEATURE_QUERY_FILE if registered else None
    return FeatureQuery.load(file).sql if file is not None and file.exists() else None


def _open(differences: "pa.Table", accepted: datetime | None) -> "pa.Table":
    """What is skew, and was answered after the last acceptance."""
    import pyarrow.compute as pc

    from mlplatform.lake.skew_causes import SKEW

    skewed = differences.filter(pc.equal(differences["cause"], SKEW))
    return skewed if accepted is None else skewed.filter(pc.greater(skewed["predicted_at"], accepted))


def _columns(table: "pa.Table") -> str:
    return ", ".join(sorted(set(table["column"].to_pylist())))


def _counts(differences: "pa.Table", skewed: "pa.Table") -> dict[str, int]:
    from mlplatform.lake.skew_causes import CAUSES, SKEW

    counted = Counter(differences["cause"].to_pylist())
    others = {f"values_{cause}": counted[cause] for cause in CAUSES if cause != SKEW}
    accepted = counted[SKEW] - skewed.num_rows
    whole = {"values_that_differ": differences.num_rows, "values_skewed": skewed.num_rows, "values_accepted": accepted}
    return whole | others


def _write(
    uc: Declaration, lake: Lake, at: datetime, compared: int, differences: "pa.Table", skewed: "pa.Table"
) -> None:
    import pyarrow as pa

    counts = _counts(differences, skewed)
    row = pa.table(
        {
            "compared_at": [at],
            "predictions": [compared],
            "values_that_differ": [differences.num_rows],
            "skewed": [skewed.num_rows],
            "late": [counts["values_late"]],
            "skewed_columns": [_columns(skewed)],
            "newest_skewed_at": pa.array([max(skewed["predicted_at"].to_pylist(), default=None)], pa.timestamp("us")),
        }
    )

    def write(con: Any) -> None:
        for table, rows in ((skew_report_table(uc), row), (skew_differences_table(uc), differences)):
            widen(con, table, rows)
        append_rows(con, skew_report_table(uc), row)
        merge_rows(con, skew_differences_table(uc), differences, ["prediction_id", "column"])

    lake.commit(write, f"{compared} predictions compared with the features in the lake")


def _result(numbers: dict[str, int], differences: "pa.Table", skewed: "pa.Table") -> dg.AssetCheckResult:
    import pyarrow.compute as pc

    from mlplatform.lake.skew_causes import CAUSES, SKEW

    evidence: dict[str, Any] = dict(numbers)
    if skewed.num_rows:
        evidence["skewed"] = _columns(skewed)
        evidence["differences"] = _table(skewed)
    rest = differences.filter(pc.not_equal(differences["cause"], SKEW))
    if rest.num_rows:
        evidence["not_counted"] = _table(rest)
        told = sorted(set(rest["cause"].to_pylist()))
        evidence["why_not_counted"] = "; ".join(f"{cause}: {CAUSES[cause]}" for cause in told)
    return dg.AssetCheckResult(
        check_name=SERVED_SKEW_CHECK,
        passed=not skewed.num_rows,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_said(numbers, skewed),
        metadata=evidence,
    )


def _said(numbers: dict[str, int], skewed: "pa.Table") -> str:
    compared = numbers["predictions_compared"]
    if not skewed.num_rows:
        return f"{compared:,} predictions compared, no skew; {numbers['values_that_differ']:,} values differ otherwise"
    return f"{skewed.num_rows:,} served values of {_columns(skewed)} are not those that training reads"


def _table(rows: "pa.Table") -> dg.TableMetadataValue:
    shown = rows.slice(0, _SHOWN).to_pylist()
    return dg.MetadataValue.table([dg.TableRecord({name: str(value) for name, value in row.items()}) for row in shown])
