"""Plots of an order of candidates, each as the bytes of a PNG. Imported only where they are drawn."""

import numpy as np

from mlplatform.ml.examples import Codes
from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png
from mlplatform.ml.metrics import Floats, Labels, query_figures

__all__ = ["plot_ndcg_by_place", "plot_right_by_place"]


def plot_ndcg_by_place(labels: Labels, scores: Floats, queries: Codes, k: int) -> bytes:
    """NDCG of the first places, by how many of them count, beside an order by chance."""
    places = np.unique(np.round(np.geomspace(1, max(50, 2 * k), 12)).astype(int))
    chance = np.random.default_rng(0).random(len(scores))
    model, none = ([query_figures(labels, s, queries, int(n))["ndcg"](None) for n in places] for s in (scores, chance))
    here = query_figures(labels, scores, queries, k)["ndcg"](None)
    figure, axes = new_figure(f"NDCG of the first places · {here:.3f} of the first {k}")
    axes.plot(places, model, color=BASE, linewidth=1.8, label="model")
    axes.plot(places, none, color=MUTED, linestyle="--", linewidth=1.2, label="by chance")
    axes.plot(k, here, "o", color=ACCENT, markersize=8, label=f"the {k} that count")
    axes.set(xlabel="places that count", ylabel="NDCG, mean over requests", ylim=(0, None))
    axes.legend(fontsize=TEXT - 1, frameon=False)
    return to_png(figure)


def plot_right_by_place(labels: Labels, scores: Floats, queries: Codes, k: int) -> bytes:
    """How often the candidate at each place was right, beside the share among all candidates."""
    order = np.lexsort((-scores, queries))
    sorted_queries = queries[order]
    first = np.searchsorted(sorted_queries, sorted_queries, side="left")
    place = np.arange(len(order)) - first
    shown = 2 * k
    right = [float(np.mean(labels[order][place == n])) for n in range(shown) if (place == n).any()]
    share = float(np.mean(labels))
    figure, axes = new_figure(f"Right at each place · {np.mean(right[:k]):.1%} of the first {k}")
    colours = [BASE if n < k else MUTED for n in range(len(right))]
    axes.bar(np.arange(1, len(right) + 1), right, color=colours)
    axes.axhline(share, color=ACCENT, linestyle="--", linewidth=1.2, label=f"all candidates: {share:.1%}")
    axes.set(xlabel="place", ylabel="share that was right")
    axes.legend(fontsize=TEXT - 1, frameon=False)
    return to_png(figure)
