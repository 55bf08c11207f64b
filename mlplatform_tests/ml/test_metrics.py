import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from mlplatform.ml.bootstrap import Estimate, bootstrap_figures, difference, estimate, resamples
from mlplatform.ml.metrics import (
    auc,
    average_precision,
    brier,
    card_precision_at_k,
    expected_calibration_error,
    expected_cost,
    net_benefit,
    rank,
    ranking_figure,
    ranking_metric,
)
from mlplatform.spec.task import Costs

# Few distinct scores, so that ties are common.
scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(1, 4)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _, _ in rows}) == 2
)


@given(scored)
@settings(max_examples=60, deadline=None)
def test_ranking_metrics_equal_scikit_learn_with_ties_and_weights(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, weights = (np.asarray(column, dtype=float) for column in zip(*rows, strict=True))
    labels = labels.astype(int)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    ranking = rank(labels, scores)
    weighted = average_precision_score(labels, scores, sample_weight=weights)
    assert ranking_metric("average_precision", ranking, weights) == pytest.approx(weighted)
    assert ranking_metric("auc", ranking, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights)
    )


def test_one_class_has_no_ranking_metric() -> None:
    assert np.isnan(auc(np.zeros(3, dtype=int), np.arange(3.0)))


def test_a_card_counts_once_a_day_by_its_highest_score() -> None:
    precision = card_precision_at_k(
        [1, 1, 1, 1], ["a", "a", "b", "c"], np.array([0, 1, 0, 0]), np.array([0.9, 0.1, 0.8, 0.2]), k=2
    )
    assert precision == 0.5


def test_a_card_found_on_one_day_is_not_alarmed_on_the_next() -> None:
    days, cards, labels = [1, 1, 2, 2], ["a", "b", "a", "c"], np.array([1, 0, 1, 1])
    scores = np.array([0.9, 0.1, 0.9, 0.5])
    assert card_precision_at_k(days, cards, labels, scores, k=1) == 1.0
    assert card_precision_at_k(days, cards, labels, scores, k=2) == 0.5
    assert card_precision_at_k(days, cards, labels, scores, k=2, remove_detected=False) == 0.75


def test_probabilities_that_come_true_have_little_calibration_error() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(20_000)
    labels = (random.random(20_000) < probabilities).astype(int)
    assert expected_calibration_error(labels, probabilities) < 0.02
    assert expected_calibration_error(labels, probabilities / 2) == pytest.approx(0.25, abs=0.02)


def test_cost_counts_both_kinds_of_error() -> None:
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([0.9, 0.1, 0.9, 0.1])
    assert expected_cost(labels, probabilities, 0.5, Costs(false_positive=2, false_negative=10)) == 3.0


def test_brier_is_the_mean_squared_distance() -> None:
    assert brier(np.array([1, 0]), np.array([0.5, 0.0])) == 0.125


def auc_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    samples: int = 100,
    seed: int = 1,
    confidence: float = 0.95,
    groups: np.ndarray | None = None,
) -> Estimate:
    drawn = resamples(labels == 1, samples, seed, groups)
    return estimate(bootstrap_figures({"auc": ranking_figure("auc", labels, scores)}, drawn)["auc"], confidence)


def test_a_model_does_not_differ_from_itself() -> None:
    random = np.random.default_rng(0)
    labels, scores = (random.random(300) < 0.1).astype(int), random.random(300)
    figures = {name: ranking_figure("auc", labels, scores) for name in "ab"}
    draws = bootstrap_figures(figures, resamples(labels == 1, 30, 1, None))
    gain = difference(draws["a"], draws["b"], 0.95)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        labels = np.repeat([1, 0], [60, 240])
        # AUC of N(1,1) against N(0,1) is Phi(1 / sqrt 2) = 0.7602.
        scores = random.normal(size=300) + labels
        found = auc_interval(labels, scores, seed=seed, confidence=0.9)
        hits += found.low <= 0.7602 <= found.high
    assert 46 <= hits <= 60


@given(scored)
@settings(max_examples=60, deadline=None)
def test_a_weight_counts_a_row_as_if_it_stood_there_so_often(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, weights = (np.asarray(column) for column in zip(*rows, strict=True))
    probabilities, costs = scores / 6, Costs(false_positive=2, false_negative=10)
    again = np.repeat(np.arange(len(rows)), weights)
    weighted = weights.astype(float)
    assert brier(labels, probabilities, weighted) == pytest.approx(brier(labels[again], probabilities[again]))
    assert expected_cost(labels, probabilities, 0.4, costs, weighted) == pytest.approx(
        expected_cost(labels[again], probabilities[again], 0.4, costs)
    )
    assert net_benefit(labels, probabilities, 0.4, weighted) == pytest.approx(
        net_benefit(labels[again], probabilities[again], 0.4)
    )
    one_bin = [expected_calibration_error(labels, probabilities, 1, weighted)]
    assert one_bin == pytest.approx([expected_calibration_error(labels[again], probabilities[again], 1)])
    figures = {"auc": ranking_figure("auc", labels, probabilities)}
    draws = bootstrap_figures(figures, resamples(labels == 1, 3, 0, None), weighted)["auc"]
    assert draws[0] == pytest.approx(auc(labels[again], probabilities[again]))


def test_net_benefit_of_acting_on_nobody_is_none_and_of_knowing_all_the_share_of_positives() -> None:
    labels = np.array([1, 0, 0, 0])
    assert net_benefit(labels, np.zeros(4), 0.1) == 0
    assert net_benefit(labels, labels.astype(float), 0.1) == 0.25
    # Vickers and Elkin's formula for acting on everybody: share - (1 - share) * odds.
    assert net_benefit(labels, np.ones(4), 0.1) == pytest.approx(0.25 - 0.75 / 9)


def test_rows_of_one_group_are_drawn_together_which_widens_the_interval() -> None:
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 10)
    labels = np.repeat((np.arange(60) % 3 == 0).astype(int), 10)
    scores = labels + np.repeat(random.normal(size=60), 10)
    widths = []
    for groups in (None, people):
        found = auc_interval(labels, scores, samples=200, groups=groups)
        widths.append(found.high - found.low)
    # Ten equal rows of 60 people tell no more than 60 rows: the interval is about sqrt(10) times as wide.
    assert 2 < widths[1] / widths[0] < 4.5
