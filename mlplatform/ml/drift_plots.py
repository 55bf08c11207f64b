"""Plots of drift through time and of its causes, each as the bytes of a PNG. Imported only where they are drawn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.dates import date2num
from matplotlib.ticker import MaxNLocator

from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png
from mlplatform.ml.root_cause import RootCause

__all__ = ["plot_causes", "plot_drift_map", "plot_predictions_over_time"]

MOST_COLUMNS = 15
MOST_WINDOWS = 16
MOST_GROUPS = 6


def plot_drift_map(effects: pd.DataFrame, drifted: pd.DataFrame, min_effect: float) -> bytes:
    """Distance of each column (rows, the largest on top) in each window (columns, by end); a dot marks drift.

    `effects` float64 and `drifted` bool, both indexed by column name, with a timestamp per column. NaN is not measured.
    """
    order = effects.max(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_COLUMNS]
    shown = effects.loc[order].sort_index(axis=1).iloc[:, -MOST_WINDOWS:]
    figure, axes = new_figure("Drift by column, window by window", height=1.2 + 0.24 * len(shown))
    axes.grid(visible=False)
    # Few shades, pale below the distance that counts: what is coloured may matter.
    shades, most = colormaps["Oranges"].resampled(6), max(3 * min_effect, 0.3)
    image = axes.imshow(shown.to_numpy(), aspect="auto", cmap=shades, vmin=0, vmax=most)
    marks = drifted.loc[shown.index, shown.columns].to_numpy()
    rows, columns = np.nonzero(marks)
    axes.scatter(columns, rows, s=16, color="black")
    axes.set_yticks(range(len(shown)), list(shown.index))
    step = max(1, -(-shown.shape[1] // 5))
    axes.set_xticks(range(0, shown.shape[1], step), [f"{end:%d %b}" for end in shown.columns[::step]])
    axes.set_xlabel("end of window; a dot is drift")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("distance", fontsize=TEXT)
    bar.ax.tick_params(labelsize=TEXT - 1)
    return to_png(figure)


def plot_predictions_over_time(windows: pd.DataFrame, min_effect: float) -> bytes:
    """Distance of the answers from those to the reference rows, and below it their mean, window by window.

    `windows`: a row per window with `window_end`, `effect`, `drifted`, `mean_reference` and `mean_current`.
    """
    known = windows.sort_values("window_end").tail(3 * MOST_WINDOWS)
    figure, axes = new_figure("Drift of the predictions over time", height=3.6)
    figure.delaxes(axes)
    top, below = figure.subplots(2, 1, sharex=True)
    times = [date2num(end.to_pydatetime()) for end in known["window_end"]]
    colours = [ACCENT if each else BASE for each in known["drifted"]]
    for axis, name in ((top, "effect"), (below, "mean_current")):
        axis.plot(times, known[name], color=BASE, linewidth=1.4, zorder=1)
        axis.scatter(times, known[name], s=30, color=colours, zorder=2)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#E6E6E6", linewidth=0.7)
        axis.tick_params(labelsize=TEXT)
        axis.yaxis.set_major_locator(MaxNLocator(4))
    top.axhline(min_effect, color=MUTED, linestyle="--", linewidth=1.2)
    top.set_ylim(0, 1.1 * max(1.5 * min_effect, float(known["effect"].max()) if len(known) else 0.0))
    if len(known):
        below.axhline(float(known["mean_reference"].iloc[-1]), color=MUTED, linestyle=":", linewidth=1.2)
    top.set_ylabel("distance", fontsize=TEXT)
    below.set_ylabel("mean answer", fontsize=TEXT)
    below.set_xlabel("end of window; dashed: least that counts, dotted: reference rows", fontsize=TEXT)
    step = max(1, -(-len(known) // 6))
    below.set_xticks(times[::step], [f"{end:%d %b}" for end in known["window_end"][::step]])
    return to_png(figure)


def plot_causes(causes: RootCause, drifted: Sequence[str] = ()) -> bytes:
    """What each column, and each group of the slices, adds to the shift of the mean score; thin lines are two
    standard errors. Columns named in `drifted` stand out."""
    columns = causes.columns[:MOST_COLUMNS]
    groups = sorted(causes.slices, key=lambda each: -abs(each.change))[:MOST_GROUPS]
    names = [each.column for each in columns] + [f"{each.slice} = {each.group}" for each in groups]
    changes = [each.change for each in columns] + [each.change for each in groups]
    errors = [2 * each.standard_error for each in columns] + [0.0] * len(groups)
    colours = [ACCENT if each.column in drifted else BASE for each in columns] + [MUTED] * len(groups)
    title = f"What moved the mean score by {causes.shift:+.3f} {causes.unit}"
    figure, axes = new_figure(title, height=1.1 + 0.24 * len(names))
    places = range(len(names), 0, -1)
    axes.barh(places, changes, color=colours, height=0.7)
    axes.errorbar(changes, places, xerr=errors, fmt="none", ecolor="black", elinewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    told = "part of the shift; lines: two standard errors\norange: drifted columns"
    axes.set_xlabel(told + ("; grey: slices" if groups else ""))
    return to_png(figure)
