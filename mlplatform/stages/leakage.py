"""The leakage check: sampled feature rows, rebuilt on history that ends at their own time, must come out the same."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.resources.lake import LakeResource
from mlplatform.spec import Declaration
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.naming import asset_key, check_result

if TYPE_CHECKING:
    from mlplatform.lake.leakage import LeakageReport

__all__ = ["LEAKAGE_CHECK", "leakage_check"]

LEAKAGE_CHECK = "leakage"
_SHOWN = 50


def leakage_check(uc: Declaration) -> dg.AssetChecksDefinition:
    """A blocking check of the features: no model is trained on rows that knew the future."""

    @dg.asset_check(
        asset=asset_key(uc, "features"),
        name=LEAKAGE_CHECK,
        description="Sampled rows, rebuilt on data cut off at their own time, equal the rows in the lake.",
        blocking=True,
    )
    def leakage(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        from mlplatform.lake.feature_query import FeatureQuery
        from mlplatform.lake.leakage import check_leakage

        opened, declared = lake.open(), uc.spec.leakage
        query = FeatureQuery.load(Home.current().feature_query(uc.spec.name))
        report = check_leakage(
            query,
            opened,
            as_of_run(context, uc, opened),
            rows=declared.rows,
            seed=declared.seed,
            lookback_days=declared.lookback_days,
        )
        return check_result(LEAKAGE_CHECK, report.passed, _evidence(report))

    return leakage


def _evidence(report: "LeakageReport") -> dict[str, Any]:
    records = [
        dg.TableRecord({name: str(value) for name, value in asdict(difference).items()})
        for difference in report.differences[:_SHOWN]
    ]
    evidence: dict[str, Any] = {
        "rows_checked": report.rows,
        "columns_checked": len(report.columns),
        "leaking": ", ".join(report.leaking) or "none",
    }
    return evidence | ({"differences": dg.MetadataValue.table(records)} if records else {})
