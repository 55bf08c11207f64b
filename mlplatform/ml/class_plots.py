"""Plots of probabilities and decisions, each as the bytes of a PNG. Imported only where they are drawn."""

import numpy as np

from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png
from mlplatform.ml.metrics import Floats, Labels, expected_calibration_error, net_benefit, rank, ranking_metric

__all__ = ["plot_calibration", "plot_decision_curve", "plot_precision_recall"]


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


def _wilson(share: Floats, rows: Floats, z: float = 1.96) -> tuple[Floats, Floats]:
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return centre - half, centre + half
