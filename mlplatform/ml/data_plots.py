"""Plots of rows, each as the bytes of a PNG. Imported only where they are drawn."""

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png

__all__ = ["plot_parts"]

MOST_BARS = 200
_COLOURS = {"train": BASE, "tune": "#56B4E9", "test": "#009E73", "gap": "#D0D0D0", "late": "#D55E00"}


def plot_parts(times: pd.Series, parts: pd.Series, labels: pd.Series) -> bytes:
    """Rows of each day, coloured by the part they belong to, and the mean of their labels: the share of positives,
    where labels are 0 and 1.

    A span of more days than `MOST_BARS` is cut into that many stretches.
    """
    days, width, unit = _stretches(times)
    counts = pd.crosstab(days, parts)
    where = date2num(counts.index.to_numpy())
    figure, axes = new_figure(f"{len(times):,} labelled rows, mean label {labels.mean():.4g}")
    below = np.zeros(len(counts))
    for part in [name for name in _COLOURS if name in counts]:
        height = counts[part].to_numpy(dtype=float)
        axes.bar(where, height, bottom=below, width=0.9 * width, color=_COLOURS[part], label=part)
        below += height
    axes.set(ylabel=f"rows in {unit}", ylim=(0, 1.15 * below.max()))
    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    share = axes.twinx()
    share.plot(where, labels.groupby(days).mean(), color=ACCENT, linewidth=1.4)
    share.set_ylabel("mean label", fontsize=TEXT, color=ACCENT)
    share.set_ylim(bottom=0)
    share.tick_params(labelsize=TEXT, colors=ACCENT)
    share.spines["top"].set_visible(False)
    share.spines["right"].set_color(MUTED)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=TEXT, frameon=False)
    return to_png(figure)


def _stretches(times: pd.Series) -> tuple[pd.Series, int, str]:
    """The first day of the stretch that each time lies in, its length in days, and that in words."""
    days = times.dt.normalize()
    first = days.min()
    width = -(-((days.max() - first).days + 1) // MOST_BARS)
    if width == 1:
        return days, 1, "a day"
    return first + (days - first) // pd.Timedelta(days=width) * pd.Timedelta(days=width), width, f"{width} days"
