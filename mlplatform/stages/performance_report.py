"""`performance_report`: the metric on served predictions, window by window, with coverage and maturity."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from mlplatform.errors import TrainingError
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.predictions import served_predictions
from mlplatform.lake.tables import describe_table, merge_rows, widen
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.champion import champion_table
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from mlplatform.ml.performance import PerformanceWindow

__all__ = [
    "AS_PROMISED",
    "performance_report_asset",
    "performance_table",
    "performance_windows",
    "promised",
    "store_performance",
]

AS_PROMISED = "as_promised"
CHAMPION_ROLE = "champion"
_KEY = ["model_version", "role", "window_start"]
_WINDOWS = 16
"""How many windows are measured again in each run: labels arrive late."""
_DESCRIPTION = "The metric on served predictions by window: coverage, interval, provisional or mature, and an estimate."
_CHECK = "The newest mature window of the live version is not clearly worse than what it was promoted by."


def performance_table(uc: Declaration) -> str:
    """The lake table with one row per model version, role and window."""
    return f"{uc.spec.name}.performance_report"


def performance_report_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Judge the predictions of the latest windows by the labels that are known as of the run's logical time."""
    version = code_version("ml/performance.py", "stages/performance_report.py", declared=uc.spec.performance)
    check = dg.AssetCheckSpec(AS_PROMISED, asset=asset_key(uc, "performance_report"), description=_CHECK)

    @dg.asset(
        **asset_attributes(uc, "performance_report", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "outcomes"), asset_key(uc, "champion")],
        check_specs=[check],
    )
    def performance_report(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        opened, table = lake.open(), performance_table(uc)
        moment = as_of_run(context, uc, opened)
        rows = _rows(_measure(uc, opened, moment, context.log))
        opened.commit(lambda con: store_performance(con, table, rows, moment), f"performance {moment:%Y-%m-%d}")
        live = current_deployment(uc)
        windows = performance_windows(uc, opened, int(live.version)) if live else []
        context.log.info(_told(windows))
        yield dg.MaterializeResult(
            metadata={**table_metadata(describe_table(opened, table)), **_metadata(windows)},
            check_results=[_check(windows)],
        )

    return performance_report


def store_performance(
    con: "duckdb.DuckDBPyConnection", table: str, rows: "pd.DataFrame", as_of: "pd.Timestamp"
) -> None:
    """Add or replace windows; one that was measured as of a later moment, with more labels, stays as it is."""
    rows = rows.assign(as_of=as_of)
    widen(con, table, rows)
    if table_exists(con, table):
        known = con.execute(f"SELECT {', '.join(_KEY)} FROM {table} WHERE as_of > ?", [as_of.to_pydatetime()]).df()
        later = rows.set_index(_KEY).index.isin(known.set_index(_KEY).index)
        rows = rows[~later]
    merge_rows(con, table, rows, _KEY)


def performance_windows(uc: Declaration, lake: Lake, model_version: int) -> "list[PerformanceWindow]":
    """All measured windows of what a version answered as champion, oldest first; empty before the first."""
    import pandas as pd

    from mlplatform.ml.performance import PerformanceWindow

    if not lake.has_table(performance_table(uc)):
        return []
    with lake.read() as con:
        found = con.execute(
            # Of another metric or another grid of windows, before the declaration was changed, they say nothing now.
            f"FROM {performance_table(uc)} WHERE model_version = ? AND role = ? AND metric = ? "
            "AND window_end - window_start = to_days(?) ORDER BY window_start",
            [model_version, CHAMPION_ROLE, str(uc.spec.training.metric), uc.spec.performance.window_days],
        ).df()
    return [
        PerformanceWindow(
            start=pd.Timestamp(row["window_start"]),
            end=pd.Timestamp(row["window_end"]),
            model_version=str(row["model_version"]),
            **{name: row[name] for name in _FIELDS},
        )
        for row in found.to_dict("records")
    ]


_FIELDS = ("metric", "value", "low", "high", "expected", "predictions", "labelled", "state", "estimate")


def _measure(
    uc: Declaration, lake: Lake, as_of: "pd.Timestamp", log: Any
) -> "dict[tuple[int, str], list[PerformanceWindow]]":
    """The windows of each (version, role)."""
    from mlplatform.ml.performance import Served, judge_window, window_starts
    from mlplatform.ml.tasks import task_for

    spec, performance = uc.spec, uc.spec.performance
    since = as_of - timedelta(days=performance.window_days * _WINDOWS)
    since = window_starts(since, performance.window_days)
    served = served_predictions(lake, spec, since.to_pydatetime(), as_of.to_pydatetime())
    task, expected = task_for(spec.training.task), promised(uc, lake)
    measured: dict[tuple[int, str], list[PerformanceWindow]] = {}
    starts = window_starts(served[spec.event_time], performance.window_days)
    for key, rows in served.groupby(["model_version", "role", starts]):
        version, role, start = cast("tuple[int, str, pd.Timestamp]", key)
        try:
            answers = task.read_answers([json.loads(answer) for answer in rows["answer"]])
        except TrainingError as other:
            # Of a version from before the task was declared as it is now; the rest can be judged.
            log.warning(f"v{version} from {start:%Y-%m-%d} on: {other}")
            continue
        window = judge_window(
            Served(str(int(version)), rows, answers),
            spec.training,
            performance,
            start=start,
            as_of=as_of,
            event_time=spec.event_time,
            expected=expected.get(int(version), math.nan),
        )
        measured.setdefault((int(version), str(role)), []).append(window)
    return measured


def promised(uc: Declaration, lake: Lake) -> dict[int, float]:
    """What each version reached on the test rows that it was promoted by."""
    with lake.read() as con:
        if not table_exists(con, champion_table(uc)):
            return {}
        columns = {str(row[0]) for row in con.execute(f"DESCRIBE {champion_table(uc)}").fetchall()}
        if "figures" not in columns:
            return {}
        # The column `metric` is that of the declaration of then.
        found = con.execute(
            f"SELECT version_after, json_extract(figures, ?)::DOUBLE FROM {champion_table(uc)} "
            "WHERE promoted AND figures IS NOT NULL",
            [f"$.{uc.spec.training.metric}"],
        ).fetchall()
    return {int(version): float(metric) for version, metric in found if metric is not None}


def _rows(measured: "dict[tuple[int, str], list[PerformanceWindow]]") -> "pd.DataFrame":
    import pandas as pd

    texts = {"role", "metric", "state"}
    whole = {"model_version", "predictions", "labelled"}
    columns = ["model_version", "role", "window_start", "window_end", *_FIELDS]
    rows = [
        {
            **asdict(window),
            "model_version": version,
            "role": role,
            "window_start": window.start,
            "window_end": window.end,
        }
        for (version, role), windows in measured.items()
        for window in windows
    ]
    frame = pd.DataFrame(rows, columns=columns)
    kinds = {name: "string" if name in texts else "int64" if name in whole else "float64" for name in columns}
    kinds |= dict.fromkeys(("window_start", "window_end"), "datetime64[us]")
    return frame.astype(kinds)


def _told(windows: "list[PerformanceWindow]") -> str:
    if not windows:
        return "no service has journalled a prediction yet"
    latest = windows[-1]
    mature = [window for window in windows if window.state == "mature"]
    known = f"newest mature window: {_figure(mature[-1])}" if mature else "no window is mature yet"
    return f"{latest.predictions:,} predictions since {latest.start:%Y-%m-%d}, {latest.coverage:.0%} labelled; {known}"


def _figure(window: "PerformanceWindow") -> str:
    return f"{window.metric} {window.value:.3f} [{window.low:.3f}, {window.high:.3f}], promised {window.expected:.3f}"


def _check(windows: "list[PerformanceWindow]") -> dg.AssetCheckResult:
    """A failed check leaves the run green: what follows from it is for the decision to say."""
    mature = [window for window in windows if window.state == "mature"]
    worse = bool(mature) and mature[-1].high < mature[-1].expected
    told = {"newest_mature_window": _figure(mature[-1]) if mature else "none yet"}
    return dg.AssetCheckResult(
        check_name=AS_PROMISED, passed=not worse, severity=dg.AssetCheckSeverity.WARN, metadata=told
    )


def _metadata(windows: "list[PerformanceWindow]") -> dict[str, Any]:
    from mlplatform.ml.monitoring_plots import plot_performance

    if not windows:
        return {"told": _told(windows)}
    latest = windows[-1]
    records = [
        dg.TableRecord(
            {
                "window": f"{window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}",
                "state": window.state,
                "metric": window.metric,
                "value": _shown(window.value),
                "interval": f"{_shown(window.low)} to {_shown(window.high)}",
                "estimate": _shown(window.estimate),
                "predictions": window.predictions,
                "coverage": f"{window.coverage:.0%}",
            }
        )
        for window in windows
    ]
    return {
        "told": _told(windows),
        "model_version": int(latest.model_version),
        "over_time": picture(plot_performance(windows), "performance over time"),
        "windows": dg.MetadataValue.table(records),
        "coverage": round(latest.coverage, 4),
    }


def _shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
