"""The picture of a challenge, as the bytes of a PNG. Imported only where it is drawn."""

import numpy as np
import numpy.typing as npt

from mlplatform.ml.figure import ACCENT, BASE, MUTED, TEXT, new_figure, to_png
from mlplatform.ml.metrics import Floats

__all__ = ["plot_answers"]

MOST_POINTS = 3000


def plot_answers(
    champion: Floats, challenger: Floats, differ: npt.NDArray[np.bool_], names: tuple[str, str], title: str
) -> bytes:
    """One point per example: champion's answer [n] against the challenger's [n]; `differ` [n] stand out.

    Of many examples a sample is drawn, the same each time.
    """
    figure, axes = new_figure(title, height=3.4)
    shown = np.arange(len(champion))
    if len(shown) > MOST_POINTS:
        shown = np.random.default_rng(0).choice(shown, MOST_POINTS, replace=False)
    for chosen, colour, label in ((~differ, BASE, "agree"), (differ, ACCENT, "disagree")):
        points = shown[chosen[shown]]
        if len(points):
            axes.scatter(champion[points], challenger[points], s=8, color=colour, alpha=0.5, linewidth=0, label=label)
    ends = [min(champion.min(), challenger.min()), max(champion.max(), challenger.max())]
    axes.plot(ends, ends, "--", color=MUTED, linewidth=1.2)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend(fontsize=TEXT - 1, frameon=False)
    return to_png(figure)
