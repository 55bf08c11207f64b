"""Plots of a model and of a comparison, each as the bytes of a PNG. Imported only where they are drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlplatform.ml.compare import Comparison, Contender
from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, bars, new_figure, to_png
from mlplatform.ml.metrics import Floats, Labels, expected_calibration_error, net_benefit, rank, ranking_metric

__all__ = [
    "plot_calibration",
    "plot_comparison",
    "plot_contributions",
    "plot_decision_curve",
    "plot_importance",
    "plot_precision_recall",
]

MOST_BARS = 15


def plot_precision_recall(
    labels: Labels, probabilities: Floats, threshold: float, weights: Floats | None = None
) -> bytes:
    """Precision against recall, with the point the cost threshold picks; `weights` [n] count a row so often."""
    mass = np.ones(len(labels)) if weights is None else weights
    ranking = rank(labels, probabilities)
    true, false = ranking.counts(mass)
    recall, precision = true / true[-1], true / (true + false)
    average = ranking_metric("average_precision", ranking, mass)
    title = f"Precision and recall · average precision {average:.3f}"
    figure, axes = new_figure(title)
    axes.step(recall, precision, where="post", color=BASE, linewidth=1.8)
    share = float(np.average(labels, weights=mass))
    axes.axhline(share, color=MUTED, linestyle=":", linewidth=1.2)
    axes.text(0.01, share, f"chance {share:.2%}", verticalalignment="bottom", fontsize=TEXT - 1, color=MUTED)
    decided = probabilities >= threshold
    if decided.any():
        caught = float(np.sum((mass * labels)[decided]))
        point = caught / true[-1], caught / float(np.sum(mass[decided]))
        note = f"cost threshold {threshold:.3f}: recall {point[0]:.2f}, precision {point[1]:.2f}"
        axes.plot(*point, "o", color=ACCENT, markersize=8, clip_on=False, label=note)
        axes.legend(fontsize=TEXT, frameon=False, loc="lower left", bbox_to_anchor=(-0.03, 1))
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
    return to_png(figure)


def plot_calibration(labels: Labels, probabilities: Floats, bins: int = 10, weights: Floats | None = None) -> bytes:
    """Share of positives against mean probability in bins of equally many rows, with 95 % intervals (Wilson, 1927).

    `weights` [n] count a row so often; the intervals then take the effective number of rows (Kish, 1965).
    Both axes are logarithmic: with rare positives all bins but one would lie in a corner.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    mass = np.ones(len(labels)) if weights is None else weights
    expected = np.asarray([np.average(probabilities[part], weights=mass[part]) for part in parts])
    observed = np.asarray([np.average(labels[part], weights=mass[part]) for part in parts])
    rows = np.asarray([mass[part].sum() ** 2 / np.square(mass[part]).sum() for part in parts])
    low, high = _wilson(observed, rows)
    floor = max(1e-6, min(*expected, *low[observed > 0])) / 1.5
    error = expected_calibration_error(labels, probabilities, bins, weights)
    figure, axes = new_figure(f"Calibration · expected error {error:.4f}")
    axes.plot([floor, 1], [floor, 1], color=MUTED, linestyle="--", linewidth=1.2, label="perfect")
    shown = np.maximum(observed, floor)
    axes.errorbar(
        np.maximum(expected, floor),
        shown,
        yerr=[shown - np.clip(low, floor, shown), np.maximum(high, shown) - shown],
        fmt="o",
        color=BASE,
        capsize=2,
        label="bin of as many rows, 95 % interval",
    )
    axes.set(xscale="log", yscale="log", xlim=(floor, 1.2), ylim=(floor, 1.2))
    axes.set(xlabel="mean probability", ylabel="share of positives")
    axes.legend(fontsize=TEXT - 1, frameon=False, loc="upper left")
    return to_png(figure)


def plot_decision_curve(
    labels: Labels, probabilities: Floats, threshold: float, weights: Floats | None = None
) -> bytes:
    """Net benefit of acting on the model, on everybody and on nobody, by the risk from which one would act.

    Vickers and Elkin, Medical Decision Making 26 (2006). `threshold` is that of the declared costs.
    """
    share = float(np.average(labels, weights=weights))
    risks = np.linspace(0.005, min(0.6, max(2 * threshold, 3 * share, 0.05)), 120)
    model = np.asarray([net_benefit(labels, probabilities, risk, weights) for risk in risks])
    everybody = share - (1 - share) * risks / (1 - risks)
    here = net_benefit(labels, probabilities, threshold, weights)
    figure, axes = new_figure(f"Decision curve · net benefit {here:.4f} at a risk of {threshold:.1%}")
    axes.plot(risks, everybody, color=MUTED, linestyle="--", linewidth=1.2, label="act on everybody")
    axes.axhline(0, color=MUTED, linewidth=1.2, label="act on nobody")
    axes.plot(risks, model, color=BASE, linewidth=1.8, label="act on the model")
    axes.plot(threshold, here, "o", color=ACCENT, markersize=8, label="declared costs")
    top = 1.15 * max(share, float(model.max()), 1e-6)
    axes.set(xlabel="risk from which one acts", ylabel="net benefit per row", ylim=(-0.25 * top, top))
    axes.legend(fontsize=TEXT - 1, frameon=False, loc="upper right")
    return to_png(figure)


def plot_importance(importance: Mapping[str, float]) -> bytes:
    """Mean absolute contribution of the most important features."""
    top = sorted(importance.items(), key=lambda item: -item[1])[:MOST_BARS]
    figure, axes = new_figure("Importance", height=_height(len(top)))
    bars(axes, [name for name, _ in top], [value for _, value in top], [BASE] * len(top))
    axes.set_xlabel("mean |contribution| to the log-odds")
    return to_png(figure)


def plot_contributions(contributions: Floats, rows: Floats, features: Sequence[str], most: int = 10) -> bytes:
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
    axes.set_xlabel("contribution to the log-odds")
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


def _wilson(share: Floats, rows: Floats, z: float = 1.96) -> tuple[Floats, Floats]:
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return centre - half, centre + half
