"""What the UI shows of a drift report: figures, tables, and pictures of the newest window and of the course."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration
from mlplatform.stages.drift_tables import DATA, EXPLANATION, PREDICTION, Kind, drift_history, drift_windows, watched
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.drift import DriftResult
    from mlplatform.ml.root_cause import RootCause

__all__ = ["drift_metadata"]

Since = Mapping[str, "pd.Timestamp | None"]


def drift_metadata(
    uc: Declaration,
    lake: Lake,
    version: int,
    moment: "pd.Timestamp",
    latest: "Mapping[Kind, DriftResult]",
    causes: "RootCause",
    since: Since,
) -> dict[str, Any]:
    """Of the window that ended at `moment`, and of the windows before it that the lake knows."""
    data, answers, reasons = (latest[kind] for kind in (DATA, PREDICTION, EXPLANATION))
    answer = answers.columns[0]
    return {
        "model_version": version,
        "drifted_columns": len(data.drifted),
        "drifted": ", ".join(data.drifted) or "none",
        "drifted_importance": data.importance_share,
        "enough_rows": data.enough_rows,
        "window_rows": data.current_rows,
        "prediction_distance": answer.effect,
        "prediction_drifted": answer.drifted,
        "mean_answer": answer.mean_current,
        "drifted_explanations": ", ".join(reasons.drifted) or "none",
        "score_shift": causes.shift,
        **_pictures(uc, lake, version, moment, data, causes),
        "causes": dg.MetadataValue.table(_column_records(causes, since)),
        **({"slices": dg.MetadataValue.table(_slice_records(causes))} if causes.slices else {}),
    }


def _pictures(
    uc: Declaration, lake: Lake, version: int, moment: "pd.Timestamp", data: "DriftResult", causes: "RootCause"
) -> dict[str, Any]:
    from mlplatform.ml.drift_plots import plot_causes, plot_drift_map, plot_predictions_over_time
    from mlplatform.ml.monitoring_plots import plot_drift_by_column, plot_drift_over_time

    least = uc.spec.drift.min_effect
    columns = _aligned(uc, drift_history(uc, lake, version, DATA), moment)
    effects, drifted = (columns.pivot_table(name, "column", "window_end", "first") for name in ("effect", "drifted"))
    over_time = plot_drift_over_time(drift_windows(uc, lake, version), watched(uc).min_drift_importance)
    predictions = drift_history(uc, lake, version, PREDICTION)
    return {
        "columns": picture(plot_drift_by_column(data, least), "drift per column"),
        "over_time": picture(over_time, "drift over time"),
        "by_column_over_time": picture(
            plot_drift_map(effects, drifted.astype("boolean").fillna(False).astype(bool), least), "drift by column"
        ),
        "predictions_over_time": picture(plot_predictions_over_time(predictions, least), "drift of the predictions"),
        "what_moved_the_score": picture(plot_causes(causes, data.drifted), "what moved the mean score"),
    }


def _aligned(uc: Declaration, history: "pd.DataFrame", moment: "pd.Timestamp") -> "pd.DataFrame":
    """Windows one behind the other: those measured as of other days overlap them."""
    import pandas as pd

    step = pd.Timedelta(days=uc.spec.drift.window_days)
    shown = [
        end for end in history["window_end"].unique() if end <= moment and (moment - end) % step == pd.Timedelta(0)
    ]
    return history[history["window_end"].isin(shown)]


def _column_records(causes: "RootCause", since: Since) -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {
                "column": each.column,
                "change": _short(each.change),
                "standard_error": _short(each.standard_error),
                "share": _short(each.share),
                "mean_reference": _short(each.mean_reference),
                "mean_current": _short(each.mean_current),
                "in_drift_since": f"{start:%Y-%m-%d}" if (start := since.get(each.column)) is not None else "",
            }
        )
        for each in causes.columns
    ]


def _slice_records(causes: "RootCause") -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {
                "slice": each.slice,
                "group": each.group,
                "change": _short(each.change),
                "by_size": _short(each.mix),
                "by_score": _short(each.within),
                "rows_reference": _short(each.rows_reference),
                "rows_current": _short(each.rows_current),
            }
        )
        for each in causes.slices
    ]


def _short(value: float) -> float | str:
    return round(value, 4) if math.isfinite(value) else ""
