"""Plots of a model and of a comparison, each as the bytes of a PNG. Imported only where they are drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlplatform.ml.compare import Comparison, Contender
from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, bars, new_figure, to_png
from mlplatform.ml.metrics import Floats

__all__ = [
    "plot_comparison",
    "plot_contributions",
    "plot_importance",
]

MOST_BARS = 15


def plot_importance(importance: Mapping[str, float], unit: str = "log-odds") -> bytes:
    """Mean absolute contribution of the most important features."""
    top = sorted(importance.items(), key=lambda item: -item[1])[:MOST_BARS]
    figure, axes = new_figure("Importance", height=_height(len(top)))
    bars(axes, [name for name, _ in top], [value for _, value in top], [BASE] * len(top))
    axes.set_xlabel(f"mean |contribution|, {unit}")
    return to_png(figure)


def plot_contributions(
    contributions: Floats, rows: Floats, features: Sequence[str], most: int = 10, unit: str = "log-odds"
) -> bytes:
    """A swarm of the contributions of each leading feature, coloured by the feature's value (rank).

    Both arrays are float64[n, f]; at most 800 rows are drawn.
    """
    contributions, rows = contributions[:800], rows[:800]
    top = np.argsort(-np.abs(contributions).mean(axis=0), kind="stable")[:most]
    figure, axes = new_figure("What moves the score", height=_height(len(top)) + 0.3)
    for place, column in zip(range(len(top), 0, -1), top, strict=True):
        colours = pd.Series(rows[:, column]).rank(pct=True).fillna(0.5)
        drawn = axes.scatter(
            contributions[:, column],
            place + _swarm(contributions[:, column]),
            c=colours,
            cmap="coolwarm",
            vmin=0,
            vmax=1,
            s=5,
            linewidths=0,
        )
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(top), 0, -1), [features[column] for column in top])
    axes.set_xlabel(f"contribution, {unit}")
    scale = figure.colorbar(drawn, ax=axes, ticks=[0, 1], aspect=30, pad=0.02)
    scale.ax.set_yticklabels(["low", "high"], fontsize=TEXT - 1)
    scale.set_label("value of the feature", fontsize=TEXT - 1, labelpad=-14)
    scale.outline.set_visible(False)
    return to_png(figure)


def plot_comparison(comparison: Comparison) -> bytes:
    """The metric of every contender with its interval; the winner stands out."""
    known = [*comparison.challengers, *([comparison.incumbent] if comparison.incumbent else [])]
    title = f"{comparison.metric.replace('_', ' ').capitalize()} on {comparison.rows:,} unseen rows"
    figure, axes = new_figure(title, height=1.2 + 0.42 * len(known))
    for place, contender in zip(range(len(known), 0, -1), known, strict=True):
        colour = ACCENT if contender.name == comparison.winner else BASE
        metric = contender.metric
        axes.plot([metric.low, metric.high], [place, place], color=colour, linewidth=2.5, solid_capstyle="round")
        axes.plot(metric.value, place, "o", color=colour, markersize=7)
        axes.text(metric.value, place + 0.2, str(metric), horizontalalignment="center", fontsize=TEXT)
    axes.set_yticks(range(len(known), 0, -1), [_role(comparison, contender) for contender in known])
    axes.set_ylim(0.4, len(known) + 0.8)
    axes.margins(x=0.15)
    axes.set_xlabel("value and bootstrap interval")
    return to_png(figure)


def _role(comparison: Comparison, contender: Contender) -> str:
    if contender is comparison.incumbent:
        return f"{contender.name}\nincumbent"
    if contender.name == comparison.winner:
        return f"{contender.name}\npromoted"
    return f"{contender.name}\n{'passed' if contender.passed else 'refused'}"


def _height(rows: int) -> float:
    return 1.0 + 0.24 * rows


def _swarm(values: Floats) -> Floats:
    """Offsets that spread points of like value symmetrically around a line, within 0.4 of it."""
    span = np.ptp(values) or 1.0
    boxes = np.floor((values - values.min()) / span * 60).astype(int)
    position = pd.Series(boxes).groupby(boxes).cumcount().to_numpy()
    step = (position + 1) // 2 * np.where(position % 2 == 0, 1, -1)
    offsets: Floats = step / max(1, np.abs(step).max()) * 0.4
    return offsets
