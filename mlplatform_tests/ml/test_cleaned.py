"""Every kind of model behind cleaning policies: trained, stored, blended, explained, rebuilt."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.special import logit

from mlplatform.errors import TrainingError
from mlplatform.ml.cleaned import CleanedScorer, CleanedTrainer
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.examples import Examples
from mlplatform.ml.model import Model
from mlplatform.ml.recipe import Recipe, compare_models
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform.ml.trainer import trainer_for
from mlplatform.ml.tuning import search
from mlplatform.spec.candidate import EnsembleCandidate, SearchedCandidate, Tuning
from mlplatform.spec.training import Training
from mlplatform_tests.ml import task_data
from mlplatform_tests.ml.data import AS_OF, CANDIDATES, FEATURES, labelled_rows, linear, torch_network, training, trees

POLICIES = [
    {"kind": "numeric", "columns": ["amount"], "cap": [0.01, 0.99], "missing": "median", "scale": "robust"},
    {"kind": "target", "columns": ["channel"], "smoothing": 10},
    {"kind": "numeric", "scale": "standard"},
]
CLEANED = ["trees", "linear", "forest", "boosting"]


def cleaned(*policies: dict[str, Any]) -> Training:
    return Training.model_validate(training().model_dump() | {"cleaning": list(policies) or POLICIES})


def fit(candidate: SearchedCandidate, rows: pd.DataFrame, declared: Training | None = None) -> TrainedCandidate:
    return train_candidate(rows, candidate, declared or cleaned(), event_time="event_time", as_of=AS_OF)


@pytest.fixture(scope="module", params=CLEANED)
def found(request: pytest.FixtureRequest, rows: pd.DataFrame) -> TrainedCandidate:
    return fit(CANDIDATES[request.param](tuning=Tuning(trials=0)), rows)


def test_a_candidate_finds_the_pattern_in_cleaned_rows(found: TrainedCandidate) -> None:
    assert found.test.figures["auc"].value > 0.75
    assert set(found.importance) == set(FEATURES)
    assert list(found.importance)[-1] == "noise"


def test_a_cleaned_model_is_stored_with_its_policies_and_scores_bit_for_bit_alike(
    found: TrainedCandidate, rows: pd.DataFrame, tmp_path: Path
) -> None:
    found.model.save(tmp_path)
    again = Model.load(tmp_path)
    x = again.matrix(rows.tail(300))
    assert (again.predict(x) == found.model.predict(x)).all()
    assert (again.explain(x) == found.model.explain(x)).all()
    stored = json.loads((tmp_path / "model.json").read_text())
    assert set(stored["cleaning"]) == set(FEATURES)
    assert stored["kind"] == found.model.kind


def test_contributions_are_those_of_the_declared_features_and_add_up(
    found: TrainedCandidate, rows: pd.DataFrame
) -> None:
    x = found.model.matrix(rows.tail(100))
    explained = found.model.explain(x)
    assert explained.shape == (100, len(FEATURES))
    assert np.ptp(logit(found.model.predict(x)) - explained.sum(axis=1)) < 1e-6


def test_an_amount_beyond_the_cap_scores_like_the_cap(found: TrainedCandidate, rows: pd.DataFrame) -> None:
    absurd = rows.tail(2).assign(amount=[1e6, 1e12])
    row = found.model.matrix(absurd)
    row[:, 1:] = row[0, 1:]
    assert np.ptp(found.model.predict(row)) == 0


def test_a_category_that_training_did_not_see_has_a_score(found: TrainedCandidate, rows: pd.DataFrame) -> None:
    assert 0 < found.model.predict(found.model.matrix(rows.tail(1).assign(channel="telegraph")))[0] < 1


@pytest.mark.parametrize("name", ["trees", "linear"])
def test_a_recipe_with_policies_gives_the_same_model_byte_for_byte(
    name: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    candidate = CANDIDATES[name](tuning=Tuning(trials=0))
    trained = fit(candidate, rows)
    trained.model.save(tmp_path)
    recipe = Recipe(candidate, cleaned(), trained.params, "event_time", AS_OF.isoformat())
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert compare_models(tmp_path, again.train(rows), rows).identical


def test_members_of_a_blend_clean_their_rows_once(rows: pd.DataFrame, tmp_path: Path) -> None:
    untuned = Tuning(trials=0)
    members = {each.name: fit(each, rows).model for each in (trees(tuning=untuned), linear(tuning=untuned))}
    candidate = EnsembleCandidate(name="blend", kind="ensemble")
    blend = train_ensemble(rows, candidate, members, cleaned(), event_time="event_time", as_of=AS_OF)
    x = blend.model.matrix(rows.tail(50))
    weighed = sum(blend.params[f"weight_{name}"] * member.calibrated(x) for name, member in members.items())  # type: ignore[operator]
    assert blend.model.scorer.raw(x) == pytest.approx(weighed, abs=1e-12)
    blend.model.save(tmp_path)
    assert (Model.load(tmp_path).predict(x) == blend.model.predict(x)).all()


def test_each_fold_of_the_search_learns_its_policies_from_its_own_training_rows() -> None:
    rows = labelled_rows(2000)
    encoding = Encoding.learn(rows, ["amount"], [])
    whole = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    early, late = (whole.at(np.arange(2000) < 1000), whole.at(np.arange(2000) >= 1000))
    late.rows[:] *= 100
    seen: list[float] = []

    class Watched(CleanedTrainer):
        def prepare(self, train: Examples, tune: Examples, threads: int) -> Any:
            fit = super().prepare(train, tune, threads)
            scorer = fit(self.defaults())
            assert isinstance(scorer, CleanedScorer)
            seen.append(scorer.cleaning.columns["amount"].center)  # type: ignore[union-attr]
            return fit

    plain = trainer_for(linear(), encoding, "auc", training().task, cleaned(POLICIES[0]).policies)
    assert isinstance(plain, CleanedTrainer)
    trainer = Watched(plain.make, plain.encoding, plain.policies, plain.seed)
    search(trainer, [(early, late), (late, early)], Tuning(trials=1), task_for(training().task), "auc")
    medians = [float(np.nanmedian(part.rows)) for part in (early, late)]
    # The search learns from a sample of the negatives, weighted.
    assert seen == pytest.approx(medians, rel=0.1)


def test_nothing_is_learned_from_the_tune_rows(rows: pd.DataFrame) -> None:
    strange = rows.assign(amount=rows["amount"].where(rows["event_time"] < AS_OF - pd.Timedelta(days=30), 1e9))
    policies: list[Sequence[object]] = []
    for each in (rows, strange):
        scorer = fit(linear(tuning=Tuning(trials=0)), each).model.scorer
        assert isinstance(scorer, CleanedScorer)
        policies.append([scorer.cleaning.columns[name] for name in ("amount", "channel")])
    assert policies[0] == policies[1]


def test_rare_categories_are_one_column_less_for_a_linear_model(rows: pd.DataFrame) -> None:
    few = rows.assign(channel=rows["channel"].where(rows.index % 500 > 0, "telex"))
    policy = {"kind": "categorical", "rare_below": 50, "missing": "category"}
    model = fit(linear(tuning=Tuning(trials=0)), few, cleaned(policy)).model
    assert model.encoding.categories["channel"] == ("app", "shop", "telex", "web")
    telex, strange = (model.matrix(few.tail(1).assign(channel=name)) for name in ("telex", "pigeon"))
    assert model.predict(telex) == model.predict(strange)


def test_without_policies_nothing_is_wrapped_and_nothing_is_stored(
    trained_trees: TrainedCandidate, tmp_path: Path
) -> None:
    trained_trees.model.save(tmp_path)
    assert not isinstance(Model.load(tmp_path).scorer, CleanedScorer)
    assert "cleaning" not in json.loads((tmp_path / "model.json").read_text())


def test_a_fold_without_positives_is_an_error_that_names_it(rows: pd.DataFrame) -> None:
    first_third = AS_OF - pd.Timedelta(days=45)
    quiet = rows.assign(label=rows["label"].where(rows["event_time"] > first_third, 0))
    with pytest.raises(
        TrainingError, match=r"the fold's train part, 2023-12-29 .* has 0 positives .* load more history"
    ):
        fit(linear(), quiet)


@pytest.mark.parametrize("policies", [[], POLICIES])
@pytest.mark.parametrize("name", CLEANED)
def test_a_constant_feature_gets_no_say(name: str, policies: list[dict[str, Any]], rows: pd.DataFrame) -> None:
    declared = cleaned(*policies) if policies else training()
    found = fit(CANDIDATES[name](tuning=Tuning(trials=0)), rows.assign(noise=0.1), declared)
    assert found.importance["noise"] == pytest.approx(0, abs=1e-9)
    assert found.test.figures["auc"].value > 0.75


@pytest.mark.parametrize("candidate", [task_data.small_trees(), task_data.ridge()])
def test_a_forecast_with_mean_labels_and_caps_beats_the_naive_one(candidate: SearchedCandidate, tmp_path: Path) -> None:
    policies = [
        {"kind": "target", "columns": ["series"]},
        {"kind": "numeric", "columns": ["same_weekday"], "cap": [0.001, 0.999]},
    ]
    plain = task_data.forecast_training(candidate, anchor="same_weekday")
    declared = Training.model_validate(plain.model_dump() | {"cleaning": policies})
    rows = task_data.forecast_rows()
    found = fit(candidate, rows, declared)
    # A share of the naive forecast's error: 0.1 is what the same trees without policies must reach at least.
    assert found.test.figures["skill"].value > (0.1 if candidate.kind == "lightgbm" else -0.05)
    found.model.save(tmp_path)
    x = found.model.matrix(rows.tail(50))
    assert (Model.load(tmp_path).predict(x) == found.model.predict(x)).all()


def test_an_order_is_found_in_scaled_rows() -> None:
    candidate = task_data.small_trees()
    policies = [{"kind": "numeric", "scale": "robust", "missing": "mean"}]
    declared = Training.model_validate(task_data.order_training(candidate).model_dump() | {"cleaning": policies})
    rows = task_data.order_rows()
    plain = fit(candidate, rows, task_data.order_training(candidate))
    # Trees see the same order of each column.
    assert fit(candidate, rows, declared).test.figures["ndcg"].value == pytest.approx(
        plain.test.figures["ndcg"].value, abs=0.05
    )


def test_an_anchor_that_is_scaled_and_stratified_folds_of_amounts_are_refused() -> None:
    content = task_data.forecast_training(anchor="same_weekday").model_dump()
    with pytest.raises(ValidationError, match="scales the anchor of the task, same_weekday"):
        Training.model_validate(content | {"cleaning": [{"kind": "numeric", "scale": "standard"}]})
    split = {"kind": "group", "key": "series", "cross_validation": {"kind": "stratified"}}
    with pytest.raises(ValidationError, match="stratified folds need labels 0 and 1, which a forecast task has not"):
        Training.model_validate(content | {"split": split})


def test_a_candidate_that_ignores_features_cleans_the_rest_and_is_stored(rows: pd.DataFrame, tmp_path: Path) -> None:
    found = fit(trees(tuning=Tuning(trials=0), ignore=["noise", "channel"]), rows)
    assert found.importance["noise"] == found.importance["channel"] == 0
    found.model.save(tmp_path)
    x = found.model.matrix(rows.tail(100))
    assert (Model.load(tmp_path).predict(x) == found.model.predict(x)).all()
    assert (Model.load(tmp_path).explain(x) == found.model.explain(x)).all()


def test_a_column_of_mean_labels_cannot_be_embedded() -> None:
    content = cleaned(POLICIES[1]).model_dump()
    with pytest.raises(ValidationError, match="torch embeds channel, which cleaning turns into mean labels"):
        Training.model_validate(content | {"candidates": [torch_network(embed=["channel"]).model_dump()]})
