"""How good scores are: order, calibration and cost. Rows are given as arrays of labels and scores, both [n].

The ranking metrics take weights, so that one sort of the scores serves every bootstrap sample
(`mlplatform.ml.bootstrap`); the tests hold them equal to scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mlplatform.spec.task import Costs

__all__ = [
    "Ranking",
    "auc",
    "average_precision",
    "brier",
    "calibration_gaps",
    "card_precision_at_k",
    "expected_calibration_error",
    "expected_cost",
    "net_benefit",
    "query_figures",
    "rank",
    "ranking_figure",
    "ranking_metric",
]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer | np.floating]
"""0 or 1, or the amounts of a forecast."""


@dataclass(frozen=True)
class Ranking:
    """Rows sorted by falling score; rows of equal score share one threshold."""

    order: npt.NDArray[np.intp]
    positive: Floats
    """Label of each sorted row as 0.0 or 1.0, [n]."""
    last_of_tie: npt.NDArray[np.intp]
    """Index of the last sorted row of each distinct score."""

    def counts(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Weighted true and false positives at each distinct score, high scores first."""
        weight = np.ones_like(self.positive) if weights is None else weights[self.order]
        true = np.cumsum(weight * self.positive)[self.last_of_tie]
        return true, np.cumsum(weight)[self.last_of_tie] - true


def rank(labels: Labels, scores: Floats) -> Ranking:
    """Sort once, score many times. `labels` 0/1 and `scores` of any scale, both [n]."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    return Ranking(order, (labels[order] == 1).astype(np.float64), last)


def ranking_metric(name: str, ranking: Ranking, weights: Floats | None = None) -> float:
    """`auc` or `average_precision` (the spec's names) of a ranking; NaN when one class has no weight."""
    true, false = ranking.counts(weights)
    if true[-1] <= 0 or false[-1] <= 0:
        return float("nan")
    return _area_under_roc(true, false) if name == "auc" else _average_precision(true, false)


def ranking_figure(name: str, labels: Labels, scores: Floats) -> Callable[[Floats | None], float]:
    """`auc` or `average_precision` as a function of the rows' weights: sorted once."""
    ranking = rank(labels, scores)
    return lambda weights: ranking_metric(name, ranking, weights)


def auc(labels: Labels, scores: Floats) -> float:
    """Area under the ROC curve."""
    return ranking_metric("auc", rank(labels, scores))


def average_precision(labels: Labels, scores: Floats) -> float:
    """Precision averaged over the recall steps, without interpolation (scikit-learn's definition)."""
    return ranking_metric("average_precision", rank(labels, scores))


def brier(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> float:
    """Mean squared distance between probability and label; `weights` [n] count a row so often."""
    return float(np.average((probabilities - labels) ** 2, weights=weights))


def expected_calibration_error(
    labels: Labels, probabilities: Floats, bins: int = 10, weights: Floats | None = None
) -> float:
    """Mean over `bins` bins of equally many rows of |mean probability - share of positives|, weighted by rows.

    `weights` [n] count a row so often.
    """
    return calibration_gaps(labels, probabilities, bins)(weights)


def calibration_gaps(labels: Labels, probabilities: Floats, bins: int = 10) -> Callable[[Floats | None], float]:
    """The expected calibration error as a function of the rows' weights: sorted once."""
    order = np.argsort(probabilities, kind="stable")
    firsts = [part[0] for part in np.array_split(np.arange(len(order)), bins) if len(part)]
    gap = (probabilities - labels)[order]

    def error(weights: Floats | None = None) -> float:
        mass = np.ones(len(gap)) if weights is None else weights[order]
        # |sum of gaps| of each bin, over all: each bin's mean gap weighs as much as its rows.
        return float(np.abs(np.add.reduceat(mass * gap, firsts)).sum() / mass.sum())

    return error


def query_figures(
    labels: Labels, scores: Floats, queries: npt.NDArray[np.integer], k: int
) -> dict[str, Callable[[Floats | None], float]]:
    """`ndcg` and `recall` of the first `k` places, mean over the queries that have a right candidate.

    `labels` 0/1, `scores` and `queries` (whole numbers), all [n]. NDCG: Jarvelin and Kekalainen (2002), gain 1 for a
    right candidate, discount log2(place + 1). Weights [n] count a query by its first row's.
    """
    order = np.lexsort((-scores, queries))
    sorted_queries, right = queries[order], labels[order] == 1
    names, firsts, numbers = np.unique(sorted_queries, return_index=True, return_inverse=True)
    place = np.arange(len(order)) - firsts[numbers]
    counted = right & (place < k)
    discount = 1 / np.log2(np.arange(max(k, 1)) + 2)
    gained = np.bincount(numbers[counted], discount[place[counted]], minlength=len(names))
    rights = np.bincount(numbers, right, minlength=len(names)).astype(np.intp)
    best = np.concatenate(([np.nan], np.cumsum(discount)))[np.minimum(rights, k)]
    found = np.bincount(numbers[counted], minlength=len(names)) / np.where(rights > 0, rights, np.nan)
    # The row whose weight counts for the query.
    witness = np.full(len(names), -1)
    witness[numbers[::-1]] = order[::-1]

    def mean(values: Floats) -> Callable[[Floats | None], float]:
        def figure(weights: Floats | None = None) -> float:
            mass = np.where(rights > 0, 1.0 if weights is None else weights[witness], 0.0)
            return float(mass @ np.where(rights > 0, values, 0.0) / mass.sum()) if mass.sum() > 0 else float("nan")

        return figure

    return {"ndcg": mean(gained / best), "recall": mean(found)}


def expected_cost(
    labels: Labels, probabilities: Floats, threshold: float, costs: Costs, weights: Floats | None = None
) -> float:
    """Mean cost per row, in the unit of `costs`, of deciding `probability >= threshold`."""
    decided = probabilities >= threshold
    false_positives, false_negatives = decided & (labels == 0), ~decided & (labels == 1)
    cost = costs.false_positive * false_positives + costs.false_negative * false_negatives
    return float(np.average(cost, weights=weights))


def net_benefit(labels: Labels, probabilities: Floats, threshold: float, weights: Floats | None = None) -> float:
    """True positives per row less false positives per row at the odds of `threshold`, of acting from it on.

    Vickers and Elkin, Decision curve analysis (Medical Decision Making 26, 2006): who acts at a risk of 10 % finds nine
    acts in vain as bad as one omission, so each false positive counts a ninth.
    """
    acted = probabilities >= threshold
    odds = threshold / (1 - threshold)
    benefit = (acted & (labels == 1)) - odds * (acted & (labels == 0))
    return float(np.average(benefit, weights=weights))


def card_precision_at_k(
    days: npt.ArrayLike,
    customers: npt.ArrayLike,
    labels: Labels,
    scores: Floats,
    k: int = 100,
    *,
    remove_detected: bool = True,
) -> float:
    """Share of compromised customers among the k alarmed ones of a day, mean over the days, in 0..1.

    Fraud Detection Handbook, chapter 4.4: a customer's score is its highest of the day, a customer is
    compromised when any of its transactions of the day is fraud, and customers found on an earlier day are
    left out (their card is blocked). A day with fewer than k customers still divides by k.
    """
    # Here: what serves a model needs the types of this module, and no pandas.
    import pandas as pd

    rows = pd.DataFrame({"day": days, "customer": customers, "fraud": labels, "score": scores})
    found: set[object] = set()
    precisions = []
    for _, day in rows.groupby("day", sort=True):
        waiting = day[~day["customer"].isin(found)] if remove_detected else day
        cards = waiting.groupby("customer")[["score", "fraud"]].max()
        alarmed = cards.sort_values("score", ascending=False, kind="stable").head(k)
        caught = alarmed.index[alarmed["fraud"] == 1]
        found.update(caught)
        precisions.append(len(caught) / k)
    return float(np.mean(precisions))


def _area_under_roc(true: Floats, false: Floats) -> float:
    x = np.concatenate(([0.0], false)) / false[-1]
    y = np.concatenate(([0.0], true)) / true[-1]
    return float(np.trapezoid(y, x))


def _average_precision(true: Floats, false: Floats) -> float:
    alarms = true + false
    precision = np.divide(true, alarms, out=np.zeros_like(true), where=alarms > 0)
    return float(np.sum(np.diff(true, prepend=0.0) * precision) / true[-1])
