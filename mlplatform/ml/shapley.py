"""What each feature adds to a score, for any model: Shapley values estimated from sampled orders of the features.

A feature's share is what the score gains when the feature moves from its typical value to the row's, after those
before it in an order have moved; the mean over all orders is its Shapley value. Orders are sampled (Castro, Gomez
and Tejada, 2009, "Polynomial calculation of the Shapley value based on sampling") in pairs, each with its reverse,
which lowers the error (Mitchell et al., 2022, "Sampling permutations for Shapley value estimation"). The typical row
as the start is the "baseline Shapley" of Sundararajan and Najmi (2020).

Along each order the gains add up to score - score of the typical row, so their means do too, however few the orders.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mlplatform.ml.metrics import Floats

__all__ = ["PAIRS", "sampled_shapley"]

PAIRS = 4
"""Orders and their reverses: with 15 features about 100 scores for one row."""
BLOCK = 100_000
"""Rows scored at a time: 12 MB with 15 features."""


@dataclass(frozen=True)
class _Plan:
    """Which mixed rows are scored, and which differences of them belong to which feature."""

    moved: npt.NDArray[np.bool_]
    """[m, f]: which features have the row's value."""
    gains: Floats
    """[m, f]: contributions = scores[n, m] @ gains."""


def sampled_shapley(score: Callable[[Floats], Floats], rows: Floats, typical: Floats, pairs: int = PAIRS) -> Floats:
    """Contributions float64[n, f] of rows float64[n, f] against `typical` [f]; `score` gives [n].

    The orders depend on the number of features only: a row is explained the same alone and among others.
    """
    plan = _plan(rows.shape[1], pairs)
    size = max(1, BLOCK // len(plan.moved))
    parts = [_block(score, rows[start : start + size], typical, plan) for start in range(0, len(rows), size)]
    return np.concatenate(parts) if parts else np.empty_like(rows)


def _block(score: Callable[[Floats], Floats], rows: Floats, typical: Floats, plan: _Plan) -> Floats:
    mixed = np.where(plan.moved[None], rows[:, None], typical)
    scores = score(mixed.reshape(-1, rows.shape[1])).reshape(len(rows), -1)
    # One row at a time: a matrix product of many rows adds up in another order than that of one.
    return np.stack([each @ plan.gains for each in scores])


@cache
def _plan(features: int, pairs: int) -> _Plan:
    random = np.random.default_rng(0)
    orders = [random.permutation(features) for _ in range(pairs)]
    orders = [each for order in orders for each in (order, order[::-1])]
    # rank[o, f]: when a feature moves in an order; after step s the features of a lower rank have moved.
    rank = np.argsort(np.array(orders), axis=1)
    steps = rank[:, None, :] < np.arange(features + 1)[None, :, None]
    moved, place = np.unique(steps.reshape(-1, features), axis=0, return_inverse=True)
    place = place.reshape(len(orders), features + 1)
    gains = np.zeros((len(moved), features))
    for order, at in zip(orders, place, strict=True):
        np.add.at(gains, (at[1:], order), 1 / len(orders))
        np.add.at(gains, (at[:-1], order), -1 / len(orders))
    return _Plan(moved, gains)
