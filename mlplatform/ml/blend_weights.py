"""How much each member of a blend counts."""

import numpy as np

from mlplatform.ml.metrics import Floats, Labels

__all__ = ["blend_amounts", "blend_weights"]

LEAST = 0.01
"""A member with a smaller share would only cost time."""


def blend_weights(log_odds: Floats, labels: Labels, counts: Floats | None = None) -> Floats:
    """Weights [m], none negative, adding up to 1, of columns log_odds[n, m] whose sum fits labels [n] best.

    `counts` [n]: how many examples a row stands for, by default one.

    Stacking with weights that are not negative (Breiman, 1996, "Stacked regressions"), fitted by log loss with a free
    intercept: convex, so there is one answer. The sum is calibrated afterwards, so only the weights' ratio counts.
    Weights below `LEAST` become 0. Columns that all say nothing weigh the same.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    members = log_odds.shape[1]
    share = np.full(len(labels), 1 / len(labels)) if counts is None else counts / counts.sum()

    def loss(point: Floats) -> tuple[float, Floats]:
        score = log_odds @ point[:-1] + point[-1]
        wrong = share * (expit(score) - labels)
        return float(share @ (np.logaddexp(0.0, score) - labels * score)), np.append(log_odds.T @ wrong, wrong.sum())

    start = np.append(np.full(members, 1 / members), 0.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * members + [(None, None)])
    return _shares(found.x[:-1], log_odds)


def blend_amounts(columns: Floats, amounts: Floats, counts: Floats | None = None) -> Floats:
    """Weights [m], none negative, adding up to 1, of columns[n, m] whose sum comes closest to amounts [n].

    By squared error (Breiman, 1996), non-negative least squares (Lawson and Hanson, 1974).
    """
    from scipy.optimize import nnls

    root = np.ones(len(amounts)) if counts is None else np.sqrt(counts)
    return _shares(nnls(columns * root[:, None], amounts * root)[0], columns)


def _shares(weights: Floats, columns: Floats) -> Floats:
    """Adding up to 1, without those that would only cost time: what they move, not their weight, is less than `LEAST`.

    Scores of different trainers need not have one unit.
    """
    members = len(weights)
    moved = weights * columns.std(axis=0)
    if not moved.sum() > 0:
        return np.full(members, 1 / members)
    kept = np.where(moved / moved.sum() < LEAST, 0.0, weights)
    result: Floats = kept / kept.sum()
    return result
