"""Plots of drift and of a decision, each as the bytes of a PNG. Imported only where they are drawn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from mlplatform.ml.decision import Decision
from mlplatform.ml.demands import demands
from mlplatform.ml.drift import DriftResult
from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, bars, new_figure, to_png
from mlplatform.ml.performance import PerformanceWindow
from mlplatform.ml.signals import WindowEvidence

__all__ = [
    "plot_decision",
    "plot_drift_by_column",
    "plot_drift_over_time",
    "plot_performance",
    "plot_predictions_over_time",
]

MOST_BARS = 15


def plot_drift_by_column(result: DriftResult, min_effect: float) -> bytes:
    """Distance of each column from the reference; drifted ones stand out."""
    top = sorted(result.columns, key=lambda column: -column.effect)[:MOST_BARS]
    title = f"Drift by column · {result.importance_share:.0%} of the importance"
    figure, axes = new_figure(title, height=1.0 + 0.24 * len(top))
    names = [f"{column.column} ({column.importance:.0%})" for column in top]
    bars(axes, names, [column.effect for column in top], [ACCENT if column.drifted else BASE for column in top])
    axes.set_xlim(0, max(axes.get_xlim()[1], 1.3 * min_effect))
    axes.axvline(min_effect, color=MUTED, linestyle="--", linewidth=1.2)
    axes.set_xlabel("distance (dashed: least that counts)\nin brackets: share of the importance")
    return to_png(figure)


def plot_drift_over_time(windows: Sequence[WindowEvidence], min_drift_importance: float) -> bytes:
    """Share of the importance in drift, window by window; hollow where there were too few rows."""
    known = sorted(windows, key=lambda window: window.end)
    figure, axes = new_figure("Drift over time", height=2.7)
    times = [date2num(window.end.to_pydatetime()) for window in known]
    shares = [window.importance_share for window in known]
    axes.plot(times, shares, color=BASE, linewidth=1.4, zorder=1)
    for time, window in zip(times, known, strict=True):
        colour = ACCENT if window.importance_share >= min_drift_importance else BASE
        face = colour if window.enough_rows else "white"
        axes.scatter(time, window.importance_share, s=36, facecolor=face, edgecolor=colour, zorder=2)
    axes.axhline(min_drift_importance, color=MUTED, linestyle="--", linewidth=1.2)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of importance in drift")
    axes.set_xlabel("end of window; dashed: the policy's limit")
    step = max(1, -(-len(known) // 6))
    axes.set_xticks(times[::step], [f"{window.end:%d %b}" for window in known[::step]])
    return to_png(figure)


def plot_decision(decision: Decision) -> bytes:
    """Each thing that was weighed, as a share of what the policy asks for; what does not speak for training is grey.

    The bars end at twice the demand. Needs evidence that names a champion.
    """
    asked = demands(decision)
    kind = decision.evidence["policy"]["kind"]
    title = f"{decision.verdict.capitalize()} · policy {kind}: what was weighed"
    figure, axes = new_figure(title, height=1.1 + 0.3 * len(asked))
    places = range(len(asked), 0, -1)
    shares = [min(2.0, max(0.0, each.value / each.limit if each.limit else 2.0)) for each in asked]
    axes.barh(places, shares, color=[ACCENT if share >= 1 else MUTED for share in shares], height=0.6)
    axes.axvline(1, color="black", linestyle="--", linewidth=1.2)
    axes.set_yticks(places, [each.name for each in asked])
    axes.set(xlim=(0, 3.3), ylim=(0.4, len(asked) + 0.6), xlabel="share of what the policy asks for (dashed)")
    axes.set_xticks([0, 1, 2], ["0", "asked", "twice"])
    axes.grid(axis="y", visible=False)
    for place, share, each in zip(places, shares, asked, strict=True):
        start = (max(share, 1), place)
        axes.annotate(each.text, start, (4, 0), textcoords="offset points", va="center", fontsize=TEXT - 1)
    return to_png(figure)


def plot_predictions_over_time(days: pd.DataFrame) -> bytes:
    """Predictions a day by model version. `days`: day, model_version, role, predictions."""
    figure, axes = new_figure("Predictions by day of the event", height=2.7)
    colours = [BASE, ACCENT, "#009E73", "#CC79A7", "#E69F00"]
    for number, ((version, role), rows) in enumerate(days.groupby(["model_version", "role"])):
        name = f"v{version}" if role == "champion" else f"v{version}, {role}"
        colour = colours[number % len(colours)]
        axes.plot(rows["day"], rows["predictions"], color=colour, marker="o", markersize=3, linewidth=1.4, label=name)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("predictions")
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.legend(fontsize=TEXT - 1, frameon=False)
    return to_png(figure)


def plot_performance(windows: Sequence[PerformanceWindow]) -> bytes:
    """The metric by window with its interval, what was promised, and what the scores alone promise.

    Filled: mature; hollow: provisional. One model version.
    """
    figure, axes = new_figure(f"Served predictions of v{windows[0].model_version}: {windows[0].metric}", height=2.9)
    times = np.asarray([date2num(window.end.to_pydatetime()) for window in windows])
    values = np.asarray([window.value for window in windows])
    mature = np.asarray([window.state == "mature" for window in windows])
    low, high = (np.asarray([getattr(window, edge) for window in windows]) for edge in ("low", "high"))
    axes.vlines(times, low, high, color=BASE, linewidth=1.2)
    axes.plot(times[mature], values[mature], "o", color=BASE, label="measured, mature")
    if (~mature & np.isfinite(values)).any():
        axes.plot(times[~mature], values[~mature], "o", color=BASE, fillstyle="none", label="measured, provisional")
    estimates = np.asarray([window.estimate for window in windows])
    if np.isfinite(estimates).any():
        axes.plot(times, estimates, "--", color=ACCENT, linewidth=1.4, label="estimated from the scores alone")
    if np.isfinite(windows[0].expected):
        axes.axhline(windows[0].expected, color=MUTED, linewidth=1.2, label="when it was promoted")
    axes.set_xlabel("end of the window")
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.legend(fontsize=TEXT - 1, frameon=False)
    return to_png(figure)
