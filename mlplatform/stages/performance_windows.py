"""The evidence of performance that a decision weighs: what the performance report wrote about one model version."""

from typing import TYPE_CHECKING, Any

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import Declaration

if TYPE_CHECKING:
    from mlplatform.ml.performance import PerformanceWindow

__all__ = ["performance_table", "performance_windows"]

_FIELDS = ("value", "low", "high", "expected", "predictions", "labelled", "state", "estimate")


def performance_table(uc: Declaration) -> str:
    """The lake table with one row per model version and window."""
    return f"{uc.spec.name}.performance_report"


def performance_windows(uc: Declaration, lake: Lake, model_version: int) -> "list[PerformanceWindow]":
    """All measured windows of one model version, oldest first; none where nothing was measured yet."""
    from mlplatform.ml.performance import PerformanceWindow

    with lake.read() as con:
        if not table_exists(con, performance_table(uc)):
            return []
        rows = con.execute(
            f"SELECT window_start::TIMESTAMP, window_end::TIMESTAMP, metric, {', '.join(_FIELDS)} "
            f"FROM {performance_table(uc)} WHERE model_version = ? ORDER BY window_end",
            [model_version],
        ).fetchall()
    return [PerformanceWindow(model_version=str(model_version), **_typed(row)) for row in rows]


def _typed(row: tuple[Any, ...]) -> dict[str, Any]:
    """A figure that could not be had is NULL or NaN, whoever wrote it."""
    import pandas as pd

    start, end, metric, *rest = row
    told = zip(_FIELDS, rest, strict=True)
    figures = {name: float("nan") if value is None else value for name, value in told}
    return {"start": pd.Timestamp(start), "end": pd.Timestamp(end), "metric": metric, **figures}
