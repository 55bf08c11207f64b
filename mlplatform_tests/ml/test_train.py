from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlplatform.errors import TrainingError
from mlplatform.ml.examples import Examples
from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform.spec.candidate import Tuning
from mlplatform.spec.training import Training
from mlplatform_tests.ml.conftest import blend, train
from mlplatform_tests.ml.data import AS_OF, FEATURES, boosting, linear, training, trees


def test_a_candidate_finds_the_pattern(trained: TrainedCandidate) -> None:
    figures = trained.test.figures
    assert figures["auc"].value > 0.75
    assert all(figure.low < figure.high for figure in figures.values())
    assert figures["auc"].low < figures["auc"].value < figures["auc"].high
    assert figures["calibration_error"].value < 0.05


def test_the_noise_column_matters_least(trained: TrainedCandidate) -> None:
    assert list(trained.importance)[-1] == "noise"
    assert set(trained.importance) == set(FEATURES)


def test_the_same_seed_gives_the_same_model(
    rows: pd.DataFrame,
    trained: TrainedCandidate,
    trained_trees: TrainedCandidate,
    trained_linear: TrainedCandidate,
) -> None:
    shuffled = rows.sample(frac=1, random_state=1)
    if trained.name == "blend":
        again = blend(shuffled, {"trees": trained_trees, "linear": trained_linear})
    else:
        again = train(trained.name, shuffled)
    x = trained.model.matrix(rows.tail(200))
    assert (again.model.predict(x) == trained.model.predict(x)).all()
    assert [(t.params, t.value) for t in again.trials] == [(t.params, t.value) for t in trained.trials]
    assert replace(again.test) == trained.test


def test_the_search_starts_with_the_defaults_and_keeps_the_best(trained_trees: TrainedCandidate) -> None:
    assert trained_trees.trials[0].params["learning_rate"] == 0.05
    assert trained_trees.params == max(trained_trees.trials, key=lambda t: t.value).params


def test_parameters_that_are_declared_are_not_searched(rows: pd.DataFrame) -> None:
    fixed = trees(params={"num_leaves": 4}, tuning=Tuning(trials=2, seconds=60), rounds=5)
    found = train_candidate(rows, fixed, training(), event_time="event_time", as_of=AS_OF)
    assert all("num_leaves" not in trial.params for trial in found.trials)
    assert "[num_leaves: 4]" in found.model.scorer.booster.model_to_string()  # type: ignore[attr-defined]


def test_how_amounts_are_binned_may_be_declared(rows: pd.DataFrame) -> None:
    coarse = trees(params={"max_bin": 15}, tuning=Tuning(trials=0), rounds=5)
    found = train_candidate(rows, coarse, training(), event_time="event_time", as_of=AS_OF)
    assert "[max_bin: 15]" in found.model.scorer.booster.model_to_string()  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [trees, linear])
def test_a_refit_learns_from_the_tune_rows_too_and_keeps_its_first_head(rows: pd.DataFrame, make: Any) -> None:
    candidate = make(tuning=Tuning(trials=0))
    once, again = (
        train_candidate(
            rows,
            candidate,
            training(candidate).model_copy(update={"refit": refit}),
            event_time="event_time",
            as_of=AS_OF,
        )
        for refit in (False, True)
    )
    tune = pd.Timestamp(once.boundaries["tune_start"]), pd.Timestamp(once.boundaries["tune_end"])
    assert again.train_rows == once.train_rows + rows["event_time"].between(*tune, inclusive="left").sum()
    assert again.model.head == once.model.head
    assert again.tune == once.tune
    matrix = once.model.matrix(rows.head(100))
    assert (again.model.predict(matrix) != once.model.predict(matrix)).any()
    assert again.model.learned_until == once.model.learned_until


def test_a_refit_of_what_must_watch_rows_is_refused() -> None:
    declared = training(boosting()).model_dump() | {"refit": True}
    with pytest.raises(ValueError, match="boosting cannot learn again without watching the tune rows"):
        Training.model_validate(declared)


def test_without_trials_the_defaults_are_fitted(rows: pd.DataFrame) -> None:
    untuned = linear(tuning=Tuning(trials=0))
    found = train_candidate(rows, untuned, training(), event_time="event_time", as_of=AS_OF)
    assert found.trials == ()
    assert found.params == {"C": 1.0, "balanced": False}


def test_the_time_budget_ends_the_search_after_the_running_trial(rows: pd.DataFrame) -> None:
    seen: list[int] = []
    hurried = linear(tuning=Tuning(trials=50, seconds=1e-6))
    train_candidate(
        rows, hurried, training(), event_time="event_time", as_of=AS_OF, progress=lambda number, _: seen.append(number)
    )
    assert seen == [0]


def test_labels_that_are_not_known_yet_stay_outside(rows: pd.DataFrame, trained_linear: TrainedCandidate) -> None:
    late = rows.assign(label=rows["label"].where(rows["event_time"] < AS_OF - pd.Timedelta(days=3)))
    again = train_candidate(late, linear(), training(), event_time="event_time", as_of=AS_OF)
    assert again.test == trained_linear.test


def test_a_label_that_is_not_binary_is_an_error(rows: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match="must be 0 or 1"):
        train_candidate(rows.assign(label=2), linear(), training(), event_time="event_time", as_of=AS_OF)


def test_a_part_without_positives_is_an_error_that_names_it(rows: pd.DataFrame) -> None:
    quiet = rows.assign(label=rows["label"].where(rows["event_time"] < AS_OF - pd.Timedelta(days=15), 0))
    with pytest.raises(TrainingError, match=r"the test part, 2024-02-15 .* has 0 positives"):
        train_candidate(quiet, linear(), training(), event_time="event_time", as_of=AS_OF)


def test_thinning_keeps_all_positives_and_the_class_shares() -> None:
    random = np.random.default_rng(0)
    whole = Examples(random.normal(size=(5000, 2)), (random.random(5000) < 0.02).astype(int))
    few = whole.thinned(10, seed=3)
    assert few.weights is not None
    assert few.labels.sum() == whole.labels.sum()
    assert len(few) == 11 * whole.labels.sum()
    assert few.weights[few.labels == 0].sum() == pytest.approx((whole.labels == 0).sum())
    assert whole.thinned(10_000, seed=3) is whole
