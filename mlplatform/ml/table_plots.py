"""Plots of classes and amounts, each as the bytes of a PNG. Imported only where they are drawn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png
from mlplatform.ml.metrics import Floats, Labels
from mlplatform.spec.task import RegressionTask

__all__ = ["plot_amounts", "plot_confusion"]

_POINTS = 2000


def plot_confusion(labels: Labels, answers: Floats, names: Sequence[str]) -> bytes:
    """Which class was taken for which: the share of each class's rows, `answers` [n, classes]."""
    count, likeliest = len(names), answers.argmax(axis=1)
    rows = np.bincount(labels * count + likeliest, minlength=count * count).reshape(count, count)
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    figure, axes = new_figure(f"Classes \u00b7 {(likeliest == labels).mean():.1%} right", height=2.2 + 0.28 * count)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if count <= 12:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=TEXT - 1, color=colour)
    short = [name if len(name) <= 14 else f"{name[:13]}\u2026" for name in names]
    axes.set_xticks(range(count), short, rotation=45, ha="right", fontsize=TEXT - 1)
    axes.set_yticks(range(count), short, fontsize=TEXT - 1)
    axes.set(xlabel="taken for", ylabel="is")
    return to_png(figure)


def plot_amounts(test: pd.DataFrame, answers: Floats, task: RegressionTask, label: str) -> bytes:
    """Each amount beside the median that was answered, of at most 2,000 rows."""
    truth = test[label].to_numpy(dtype=np.float64)
    median = answers[:, task.quantiles.index(0.5)]
    some = np.random.default_rng(7).choice(len(truth), min(len(truth), _POINTS), replace=False)
    error = np.abs(truth - median).mean()
    figure, axes = new_figure(f"Amounts \u00b7 off by {error:.4g} on average")
    axes.plot(median[some], truth[some], ".", color=BASE, markersize=4, alpha=0.5)
    ends = [float(min(truth[some].min(), median[some].min())), float(max(truth[some].max(), median[some].max()))]
    axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1.2, label="just right")
    axes.axhline(float(np.median(truth)), color=ACCENT, linewidth=1.0, label="naive: the median")
    axes.set(xlabel="answered (median)", ylabel="came true")
    axes.legend(fontsize=TEXT - 1, frameon=False, loc="upper left")
    return to_png(figure)
