"""`drift_report`: the latest windows against what the champion was trained on, per column, and Evidently's page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table, merge_rows
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration, DriftSignal
from mlplatform.stages.bento import REFERENCE_FILE
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture
from mlplatform.stages.trained import IMPORTANCE_FILE

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.decision import WindowEvidence
    from mlplatform.ml.drift import DriftResult
    from mlplatform.serving.pointer import Pointer

__all__ = ["drift_report_asset", "drift_table", "drift_windows", "policy_windows"]

_WINDOW_KEY = ["model_version", "window_end", "column"]
_DESCRIPTION = "Each feature of the latest windows against the champion's training rows: one fixed test, corrected."


def drift_table(uc: Declaration) -> str:
    """The lake table with one row per model version, window and column."""
    return f"{uc.spec.name}.drift_report"


def drift_report_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Measure the windows that the policy looks at; write Evidently's page for the latest one."""
    version = code_version("ml/drift.py", "ml/evidently_report.py", "stages/drift_report.py", declared=uc.spec.drift)

    @dg.asset(
        **asset_attributes(uc, "drift_report", _DESCRIPTION, {"evidently", "duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "features"), asset_key(uc, "deployment")],
    )
    def drift_report(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        live = current_deployment(uc)
        if live is None:
            raise dg.Failure(
                f"nothing is deployed for {uc.spec.name}, so there is nothing to compare with; train first"
            )
        opened, reference = lake.open(), _Reference(live)
        moment = as_of_run(context, uc, opened)
        measured = {end: _measure(uc, opened, reference, end) for end in _window_ends(uc, moment)}
        rows = _rows(uc, live, measured)
        done = opened.commit(
            lambda con: merge_rows(con, drift_table(uc), rows, _WINDOW_KEY), f"drift {moment:%Y-%m-%d}"
        )
        table = describe_table(opened, drift_table(uc), done.snapshot)
        latest = measured[moment]
        page = _write_page(uc, opened, reference, moment)
        context.log.info(f"{moment:%Y-%m-%d}: drift in {', '.join(latest.drifted) or 'no column'}")
        windows = drift_windows(uc, opened, int(live.version))
        yield dg.MaterializeResult(
            metadata={**table_metadata(table), **_page_links(page), **_metadata(uc, latest, windows, live)}
        )

    return drift_report


class _Reference:
    """What the live bundle says of its training rows."""

    def __init__(self, live: "Pointer") -> None:
        import pandas as pd

        folder = Path(live.path)
        self.rows = pd.read_parquet(folder / REFERENCE_FILE)
        self.importance: dict[str, float] = json.loads((folder / IMPORTANCE_FILE).read_text())


def _watched(uc: Declaration) -> DriftSignal:
    """What counts as drift: the policy's, or the default where the policy does not go by drift."""
    return uc.spec.policy.on_drift or DriftSignal()


def _window_ends(uc: Declaration, as_of: "pd.Timestamp") -> "list[pd.Timestamp]":
    import pandas as pd

    step = pd.Timedelta(days=uc.spec.drift.window_days)
    return [as_of - i * step for i in range(_watched(uc).windows)]


def _window_rows(uc: Declaration, lake: Lake, end: "pd.Timestamp", sample: int) -> "pd.DataFrame":
    """A repeatable sample of the window's feature rows: drawn from one ordered by key, so threads do not matter."""
    import pandas as pd

    from mlplatform.ml.drift import sample_rows

    spec = uc.spec
    columns = ", ".join(spec.training.features)
    with lake.read() as con:
        rows = con.execute(
            f"SELECT {columns} FROM {spec.name}.features WHERE {spec.event_time} >= ? AND {spec.event_time} < ? "
            f"ORDER BY {', '.join([spec.event_time, *spec.entity_keys])}",
            [(end - pd.Timedelta(days=spec.drift.window_days)).to_pydatetime(), end.to_pydatetime()],
        ).df()
    return sample_rows(rows, sample, seed=0)


def _measure(uc: Declaration, lake: Lake, reference: _Reference, end: "pd.Timestamp") -> "DriftResult":
    from mlplatform.ml.drift import find_drift

    training = uc.spec.training
    return find_drift(
        reference.rows,
        _window_rows(uc, lake, end, uc.spec.drift.sample_rows),
        uc.spec.drift,
        columns=training.features,
        categorical=training.categorical,
        importance=reference.importance,
    )


def _rows(uc: Declaration, live: "Pointer", measured: "dict[pd.Timestamp, DriftResult]") -> "pd.DataFrame":
    import pandas as pd

    step = pd.Timedelta(days=uc.spec.drift.window_days)
    return pd.DataFrame(
        [
            {
                "model_version": int(live.version),
                "window_start": end - step,
                "window_end": end,
                "column": column.column,
                "test": column.test,
                "effect": column.effect,
                "p_value": column.p_value,
                "adjusted_p_value": column.adjusted_p_value,
                "drifted": column.drifted,
                "importance": column.importance,
                "missing_share": column.missing_current,
                "rows": result.current_rows,
                "enough_rows": result.enough_rows,
            }
            for end, result in measured.items()
            for column in result.columns
        ]
    )


def policy_windows(uc: Declaration, lake: Lake, model_version: int, as_of: "pd.Timestamp") -> "list[WindowEvidence]":
    """The M windows that end at `as_of`, one behind the other, oldest first.

    Windows that were measured as of other days overlap these: the same rows would count twice.
    """
    ends = set(_window_ends(uc, as_of))
    return [window for window in drift_windows(uc, lake, model_version) if window.end in ends]


def drift_windows(uc: Declaration, lake: Lake, model_version: int) -> "list[WindowEvidence]":
    """All measured windows of one model version, oldest first."""
    import pandas as pd

    from mlplatform.ml.decision import WindowEvidence

    with lake.read() as con:
        found = con.execute(
            "SELECT window_start, window_end, bool_and(enough_rows), "
            "coalesce(sum(importance) FILTER (drifted), 0), "
            'coalesce(list("column" ORDER BY importance DESC) FILTER (drifted), []) '
            f"FROM {drift_table(uc)} WHERE model_version = ? GROUP BY ALL ORDER BY window_end",
            [model_version],
        ).fetchall()
    return [WindowEvidence(pd.Timestamp(a), pd.Timestamp(b), c, float(d), tuple(e)) for a, b, c, d, e in found]


def _write_page(uc: Declaration, lake: Lake, reference: _Reference, as_of: "pd.Timestamp") -> Path:
    from mlplatform.ml.evidently_report import write_evidently_report

    path = Home.current().reports / uc.spec.name / f"drift-{as_of:%Y-%m-%d}.html"
    current = _window_rows(uc, lake, as_of, uc.spec.drift.sample_rows)
    training = uc.spec.training
    write_evidently_report(
        path, reference.rows, current, uc.spec.drift, columns=training.features, categorical=training.categorical
    )
    return path


def _page_links(page: Path) -> dict[str, Any]:
    home = Home.current()
    return {
        # Browsers refuse file: links on a page that came over http, so the reports are served.
        "evidently": dg.MetadataValue.url(f"{home.reports_url}/{page.relative_to(home.reports).as_posix()}"),
        "evidently_file": dg.MetadataValue.path(str(page)),
    }


def _metadata(
    uc: Declaration, latest: "DriftResult", windows: "list[WindowEvidence]", live: "Pointer"
) -> dict[str, Any]:
    from mlplatform.ml.monitoring_plots import plot_drift_by_column, plot_drift_over_time

    spec = uc.spec
    return {
        "model_version": int(live.version),
        "drifted_columns": len(latest.drifted),
        "drifted": ", ".join(latest.drifted) or "none",
        "drifted_importance": latest.importance_share,
        "enough_rows": latest.enough_rows,
        "columns": picture(plot_drift_by_column(latest, spec.drift.min_effect), "drift per column"),
        "over_time": picture(plot_drift_over_time(windows, _watched(uc).min_drift_importance), "drift over time"),
    }
