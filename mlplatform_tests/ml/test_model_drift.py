import numpy as np
import pandas as pd
import pytest

from mlplatform.ml.model_drift import ANSWER, answers, explain, explanation_drift, prediction_drift
from mlplatform.ml.train import TrainedCandidate
from mlplatform.spec.drift import Drift
from mlplatform_tests.ml.data import FEATURES, labelled_rows

RULES = Drift()


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return labelled_rows(3000, seed=10)


@pytest.fixture(scope="module")
def alike() -> pd.DataFrame:
    return labelled_rows(3000, seed=11)


def test_the_answers_to_rows_alike_do_not_drift(
    trained_trees: TrainedCandidate, reference: pd.DataFrame, alike: pd.DataFrame
) -> None:
    model = trained_trees.model
    found = prediction_drift(answers(model, reference), answers(model, alike), RULES)
    assert found.drifted == ()
    assert found.enough_rows


def test_the_answers_drift_when_rows_move_to_where_the_model_says_otherwise(
    trained_trees: TrainedCandidate, reference: pd.DataFrame, alike: pd.DataFrame
) -> None:
    model, moved = trained_trees.model, alike.assign(rate=alike["rate"] + 1)
    found = prediction_drift(answers(model, reference), answers(model, moved), RULES)
    assert found.drifted == (ANSWER,)
    assert found.columns[0].mean_current > found.columns[0].mean_reference


def test_what_the_model_never_looks_at_may_move_without_any_drift_of_its_answers(
    trained_trees: TrainedCandidate, reference: pd.DataFrame, alike: pd.DataFrame
) -> None:
    model, moved = trained_trees.model, alike.assign(another=9.0)
    assert prediction_drift(answers(model, reference), answers(model, moved), RULES).drifted == ()


def test_the_explanation_that_drifts_most_is_that_of_the_column_that_moved(
    trained_trees: TrainedCandidate, reference: pd.DataFrame, alike: pd.DataFrame
) -> None:
    model = trained_trees.model
    old, new = explain(model, reference), explain(model, alike.assign(rate=alike["rate"] + 1))
    found = explanation_drift(old, new, RULES, trained_trees.importance)
    assert max(found.columns, key=lambda column: column.effect).column == "rate"
    assert "rate" in found.drifted
    assert [column.column for column in found.columns] == FEATURES
    assert explanation_drift(old, explain(model, alike), RULES).drifted == ()


def test_the_contributions_of_a_row_add_up_to_its_score_less_a_constant(
    trained: TrainedCandidate, reference: pd.DataFrame
) -> None:
    found = explain(trained.model, reference.head(200))
    rest = found.scores - found.contributions.sum(axis=1).to_numpy()
    # Forests are stored as ONNX in single precision.
    assert np.ptp(rest) < 1e-4 * max(1.0, np.abs(found.scores).max())
