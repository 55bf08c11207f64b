import numpy as np
import pandas as pd
import pytest

from mlplatform.errors import TrainingError
from mlplatform.ml.calibration import Isotonic, Sigmoid
from mlplatform.ml.examples import Examples, row_groups, row_weights
from mlplatform.ml.train import train_candidate
from mlplatform.spec.folds import GroupFolds
from mlplatform.spec.split import SplitByGroup
from mlplatform_tests.ml.data import AS_OF, labelled_rows, linear, training

FRAME = pd.DataFrame({"weight": [1.0, 2.5, 4.0], "person": ["b", "a", "b"]})


def test_rows_that_name_no_weight_and_no_group_have_none() -> None:
    assert row_weights(FRAME, None) is None
    assert row_groups(FRAME, None) is None


def test_weights_and_groups_are_read_by_name() -> None:
    assert row_weights(FRAME, "weight").tolist() == [1.0, 2.5, 4.0]  # type: ignore[union-attr]
    assert row_groups(FRAME, "person").tolist() == [0, 1, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [None, 0.0, -1.0, np.inf])
def test_a_weight_that_is_none_is_an_error_that_counts_it(wrong: float | None) -> None:
    with pytest.raises(TrainingError, match="1 of 3 labelled rows have no 'weight' above 0"):
        row_weights(FRAME.assign(weight=[1.0, wrong, 2.0]), "weight")


def test_a_missing_weight_column_is_an_error_that_lists_the_columns() -> None:
    with pytest.raises(TrainingError, match=r"lack the weight 'w'; have \['weight', 'person'\]"):
        row_weights(FRAME, "w")


def test_thinning_keeps_the_weight_of_the_negatives() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(4000) < 0.02).astype(int)
    weights = random.uniform(1, 3, 4000)
    thinned = Examples(np.zeros((4000, 1)), labels, weights).thinned(10, seed=1)
    assert len(thinned) < 1500
    assert thinned.weights is not None
    kept = thinned.weights[thinned.labels == 0].sum()
    assert kept == pytest.approx(weights[labels == 0].sum(), rel=0.05)


@pytest.mark.parametrize("kind", [Sigmoid, Isotonic])
def test_a_calibration_counts_a_row_of_weight_two_twice(kind: type[Sigmoid] | type[Isotonic]) -> None:
    random = np.random.default_rng(0)
    log_odds = random.normal(size=500)
    labels = (random.random(500) < 1 / (1 + np.exp(-log_odds))).astype(int)
    weights = random.integers(1, 4, 500)
    again = np.repeat(np.arange(500), weights)
    weighted = kind.fit(log_odds, labels, weights.astype(float))
    repeated = kind.fit(log_odds[again], labels[again])
    assert weighted(log_odds) == pytest.approx(repeated(log_odds), abs=1e-4)


def test_a_model_is_right_about_the_whole_when_labels_of_one_class_are_known_more_often() -> None:
    """Half of the negatives are lost, as when events end the waiting: weights of two bring the share back."""
    rows = labelled_rows(30_000).assign(person=range(30_000), weight=1.0)
    lost = (rows["label"] == 0) & (np.arange(len(rows)) % 2 == 0)
    known = rows[~lost].assign(weight=lambda r: np.where(r["label"] == 0, 2.0, 1.0))
    split = SplitByGroup(kind="group", key="person", cross_validation=GroupFolds(folds=2))
    plain = training().model_copy(update={"split": split})
    weighted = plain.model_copy(update={"weight": "weight"})
    without, with_ = (
        train_candidate(known, linear(), each, event_time="event_time", as_of=AS_OF).model for each in (plain, weighted)
    )
    share = rows["label"].mean()
    # Calibrated on 6,000 rows with some 380 positives: one standard deviation is 5 %.
    assert with_.predict(with_.matrix(rows)).mean() == pytest.approx(share, rel=0.15)
    assert without.predict(without.matrix(rows)).mean() > 1.5 * share
