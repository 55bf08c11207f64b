"""Sampled Shapley values hold the rules of exact ones that sampling does not break, and come close to them."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlplatform.ml.metrics import Floats
from mlplatform.ml.shapley import sampled_shapley

FEATURES = 5
rows_of = arrays(np.float64, st.tuples(st.integers(1, 20), st.just(FEATURES)), elements=st.floats(-5, 5, width=16))
one_row = arrays(np.float64, FEATURES, elements=st.floats(-5, 5, width=16))


def twisted(rows: Floats) -> Floats:
    """A score with interactions of two and three features; the last one plays no part."""
    result: Floats = rows[:, 0] * rows[:, 1] + np.sin(rows[:, 2]) - rows[:, 0] * rows[:, 2] * rows[:, 3] / 4
    return result


def exact(rows: Floats, typical: Floats) -> Floats:
    """Shapley's own formula, over all sets of features."""
    shares = np.zeros_like(rows)
    for feature in range(FEATURES):
        others = [each for each in range(FEATURES) if each != feature]
        for size in range(FEATURES):
            for moved in combinations(others, size):
                before = np.tile(typical, (len(rows), 1))
                before[:, moved] = rows[:, moved]
                after = before.copy()
                after[:, feature] = rows[:, feature]
                shares[:, feature] += (twisted(after) - twisted(before)) / (FEATURES * comb(FEATURES - 1, size))
    return shares


@settings(max_examples=60, deadline=None)
@given(rows_of, one_row)
def test_they_add_up_to_the_score_less_that_of_the_typical_row(rows: Floats, typical: Floats) -> None:
    total = sampled_shapley(twisted, rows, typical).sum(axis=1)
    assert total == pytest.approx(twisted(rows) - twisted(typical[None]), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows_of, one_row)
def test_a_feature_that_plays_no_part_or_is_typical_gets_nothing(rows: Floats, typical: Floats) -> None:
    rows[:, 0] = typical[0]
    shares = sampled_shapley(twisted, rows, typical)
    assert shares[:, [0, 4]] == pytest.approx(0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows_of, one_row)
def test_they_are_exact_where_features_do_not_interact(rows: Floats, typical: Floats) -> None:
    weights = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    shares = sampled_shapley(lambda each: (each**2) @ weights, rows, typical)
    assert shares == pytest.approx((rows**2 - typical**2) * weights, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows_of, one_row)
def test_a_row_is_explained_alone_as_among_others(rows: Floats, typical: Floats) -> None:
    together = sampled_shapley(twisted, rows, typical)
    alone = [sampled_shapley(twisted, rows[i : i + 1], typical)[0] for i in range(len(rows))]
    assert (np.array(alone) == together).all()


def test_more_orders_come_closer_to_shapleys_formula() -> None:
    rows, typical = np.random.default_rng(0).normal(size=(200, FEATURES)), np.full(FEATURES, 0.3)
    truth = exact(rows, typical)
    errors = [np.abs(sampled_shapley(twisted, rows, typical, pairs) - truth).mean() for pairs in (1, 4, 200)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 0.1 * np.abs(truth).mean()
    assert errors[2] < 0.02 * np.abs(truth).mean()
