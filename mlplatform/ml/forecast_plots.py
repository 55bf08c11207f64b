"""Plots of forecasts, each as the bytes of a PNG. Imported only where they are drawn."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png
from mlplatform.ml.metrics import Floats
from mlplatform.spec.task import ForecastTask, RegressionTask

__all__ = ["plot_coverage", "plot_error_by_horizon", "plot_forecasts"]

SERIES = 3


def plot_forecasts(test: pd.DataFrame, answers: Floats, task: ForecastTask, label: str, event_time: str) -> bytes:
    """What came true, the median and the interval of the last origin whose whole horizon is known, for the largest
    series."""
    rows = test.assign(low=answers[:, 0], middle=_median(answers, task), high=answers[:, -1])
    largest = rows.groupby(task.series, observed=True)[label].sum().nlargest(SERIES).index
    origin = _last_whole_origin(rows, task, event_time)
    figure, first = new_figure(f"Forecasts made at {origin:%Y-%m-%d %H:%M}", height=1.6 + 1.1 * len(largest))
    first.remove()
    panels = np.atleast_1d(figure.subplots(len(largest), 1, sharex=True))
    for axes, series in zip(panels, largest, strict=True):
        chosen = rows[(rows[task.series] == series) & (rows[event_time] == origin)].sort_values(task.horizon)
        _draw_forecast(axes, chosen, task, label, str(series))
    panels[-1].set_xlabel(task.horizon, fontsize=TEXT)
    panels[0].legend(fontsize=TEXT - 1, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.12))
    return to_png(figure)


def plot_error_by_horizon(test: pd.DataFrame, answers: Floats, task: ForecastTask, label: str) -> bytes:
    """Weighted absolute percentage error by how far ahead, beside the naive forecast's."""
    truth = test[label].to_numpy(dtype=np.float64)
    parts = pd.DataFrame(
        {
            "horizon": test[task.horizon].to_numpy(),
            "model": np.abs(truth - _median(answers, task)),
            "naive": np.abs(truth - test[task.naive].to_numpy(dtype=np.float64, na_value=np.nan)),
            "size": np.abs(truth),
        }
    )
    sums = parts.dropna().groupby("horizon").sum()
    figure, axes = new_figure(f"Error by horizon · {sums['model'].sum() / sums['size'].sum():.1%} in all")
    axes.plot(sums.index, sums["naive"] / sums["size"], color=MUTED, linestyle="--", linewidth=1.4, label="naive")
    axes.plot(sums.index, sums["model"] / sums["size"], color=BASE, linewidth=1.8, label="model")
    axes.set(xlabel=task.horizon, ylabel="sum |error| / sum |label|", ylim=(0, None))
    axes.legend(fontsize=TEXT - 1, frameon=False)
    return to_png(figure)


def plot_coverage(test: pd.DataFrame, answers: Floats, task: ForecastTask | RegressionTask, label: str) -> bytes:
    """How often the label lay at or below each quantile, beside how often it should."""
    truth = test[label].to_numpy(dtype=np.float64)
    levels = np.asarray(task.quantiles)
    below = (truth[:, None] <= answers).mean(axis=0)
    inside = float(((truth >= answers[:, 0]) & (truth <= answers[:, -1])).mean())
    figure, axes = new_figure(f"Coverage · {inside:.1%} inside the interval of {levels[-1] - levels[0]:.0%}")
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.2, label="perfect")
    axes.plot(levels, below, "o", color=BASE, markersize=7, label="share of labels at or below")
    axes.set(xlabel="level of the quantile", ylabel="share of labels at or below it", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=TEXT - 1, frameon=False, loc="upper left")
    return to_png(figure)


def _draw_forecast(axes: Axes, rows: pd.DataFrame, task: ForecastTask, label: str, title: str) -> None:
    steps = rows[task.horizon]
    share = task.quantiles[-1] - task.quantiles[0]
    axes.fill_between(
        steps, rows["low"], rows["high"], color=BASE, alpha=0.2, linewidth=0, label=f"{share:.0%} interval"
    )
    axes.plot(steps, rows["middle"], color=BASE, linewidth=1.8, label="forecast")
    axes.plot(steps, rows[label], color=ACCENT, linewidth=1.2, marker="o", markersize=3, label="came true")
    axes.set_title(title, fontsize=TEXT, loc="right", y=0.96)
    axes.tick_params(labelsize=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.7)
    axes.margins(y=0.15)


def _last_whole_origin(rows: pd.DataFrame, task: ForecastTask, event_time: str) -> pd.Timestamp:
    """Of the origins with the most horizons the last one."""
    known = rows.groupby(event_time)[task.horizon].nunique()
    return pd.Timestamp(known[known == known.max()].index[-1])


def _median(answers: Floats, task: ForecastTask) -> Floats:
    middle: Floats = answers[:, task.quantiles.index(0.5)]
    return middle
