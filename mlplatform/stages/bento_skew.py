"""The check of the bento that compares what it computes of raw events with what training would read.

All that differs stands in the table `<use case>.bento_skew`, the first of it in the check.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration
from mlplatform.stages.naming import check_result, check_spec

if TYPE_CHECKING:
    from mlplatform.serving.raw.skew import SkewReport

__all__ = ["SKEW_CHECK", "skew_result", "skew_spec"]

SKEW_CHECK = "skew"
_SHOWN = 50


def skew_spec(uc: Declaration) -> dg.AssetCheckSpec:
    """Blocking: a bento that computes other features than it learned from is not deployed."""
    text = "Past events, replayed through the bento's own way to features, give the rows in the lake."
    return check_spec(uc, "bento", SKEW_CHECK, text)


def skew_result(uc: Declaration, bundle: Path, lake: Lake) -> dg.AssetCheckResult:
    """Replay what the declaration says; passed where nobody asks by raw events."""
    from mlplatform.serving.raw.settings import RawSettings
    from mlplatform.serving.raw.skew import check_skew

    settings = RawSettings.load(bundle)
    if settings is None:
        return check_result(SKEW_CHECK, True, {"told": "this model is asked by features or by key, not by raw events"})
    report = check_skew(settings, lake, uc.spec.serving.skew_events)
    _write(uc, lake, report)
    return check_result(SKEW_CHECK, report.passed, _evidence(report))


def _write(uc: Declaration, lake: Lake, report: "SkewReport") -> None:
    """Of the latest packaging; none the next time that all is equal."""
    import pyarrow as pa

    from mlplatform.lake.tables import replace_table
    from mlplatform.serving.raw.skew import SkewDifference

    table = f"{uc.spec.name}.bento_skew"
    if report.passed and not lake.has_table(table):
        return
    names = [field.name for field in fields(SkewDifference)]
    rows = pa.table(
        {name: pa.array([_text(getattr(found, name)) for found in report.differences], pa.string()) for name in names}
    )
    lake.commit(lambda con: replace_table(con, table, rows), f"{len(report.differences)} values of the bento differ")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _evidence(report: "SkewReport") -> dict[str, Any]:
    records = [
        dg.TableRecord({name: str(value) for name, value in asdict(difference).items()})
        for difference in report.differences[:_SHOWN]
    ]
    evidence: dict[str, Any] = {
        "events_replayed": report.events,
        "rows_compared": report.rows,
        "values_that_differ": len(report.differences),
        "skewed": ", ".join(report.columns) or "none",
    }
    return evidence | ({"differences": dg.MetadataValue.table(records)} if records else {})
