"""What is written of a LightGBM decides like it, also for values beside a threshold, missing, and near zero."""

import math
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError
from mlplatform.ml.booster_form import NEAR_ZERO, BoosterForm
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import INPUT, OUTPUT, OnnxGraph
from mlplatform.ml.onnx_scorer import open_session, run_session
from mlplatform.ml.split_form import ENSEMBLE_OPSET

CODES = 40
BASE = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "deterministic": True}


def training_rows(seed: int = 0) -> tuple[Floats, Floats]:
    """Two numbers with many zeros, one of them with gaps, and a category of 40 codes with gaps."""
    random = np.random.default_rng(seed)
    number, gappy = random.normal(size=(2, 3000))
    number[random.random(3000) < 0.3], gappy[random.random(3000) < 0.2] = 0.0, math.nan
    code = random.integers(0, CODES, 3000).astype(float)
    label = (number + np.nan_to_num(gappy, nan=1.0) + np.sin(code) + random.normal(size=3000) > 0.5).astype(float)
    code[random.random(3000) < 0.1] = math.nan
    return np.column_stack([number, gappy, code]), label


@dataclass(frozen=True)
class Written:
    booster: lgb.Booster
    form: BoosterForm
    session: Any

    def scores(self, rows: Floats) -> Floats:
        return run_session(self.session, rows)

    def expected(self, rows: Floats) -> Floats:
        return np.asarray(self.booster.predict(rows, raw_score=True, num_threads=1))


def written(rounds: int = 30, rows: Floats | None = None, **params: object) -> Written:
    known, labels = training_rows()
    data = lgb.Dataset(known if rows is None else rows, labels, categorical_feature=[2], params={**BASE, **params})
    booster = lgb.train({**BASE, **params}, data, rounds)
    booster = lgb.Booster(model_str=booster.model_to_string())
    form = BoosterForm.read(booster.model_to_string())
    graph = OnnxGraph(ml_opset=ENSEMBLE_OPSET)
    graph.add("Identity", [form.add(graph, INPUT)], OUTPUT)
    return Written(booster, form, open_session(graph.build("booster", form.features)))


MODELS = {
    "gaps": written(),
    "zero_as_missing": written(zero_as_missing=True),
    "no_missing": written(use_missing=False),
    "no_gaps_in_training": written(rows=np.nan_to_num(training_rows()[0])),
    "random_forest": written(boosting="rf", bagging_freq=1, bagging_fraction=0.7),
    "dart": written(boosting="dart"),
}
CUTS = sorted({cut for model in MODELS.values() for cuts in model.form.cuts().values() for cut in cuts})

beside_a_threshold = st.builds(
    lambda cut, way: math.nextafter(cut, way) if way else cut,
    st.sampled_from(CUTS),
    st.sampled_from([None, math.inf, -math.inf]),
)
rounded_to_float32 = st.sampled_from(CUTS).map(lambda cut: float(np.float32(cut)))
near_zero = st.sampled_from(
    [0.0, -0.0, NEAR_ZERO, -NEAR_ZERO, math.nextafter(NEAR_ZERO, 1), -math.nextafter(NEAR_ZERO, 1), 5e-324, 1e-300]
)
any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
any_float = st.floats(allow_nan=False, allow_infinity=False)
number = st.one_of(beside_a_threshold, rounded_to_float32, near_zero, any_float32, any_float, st.just(math.nan))
code = st.one_of(st.integers(0, 200).map(float), st.just(math.nan))
matrices = st.lists(st.tuples(number, number, code), min_size=1, max_size=8).map(np.array)


@pytest.mark.parametrize("name", MODELS)
def test_a_written_booster_scores_like_lightgbm_whatever_the_row(name: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(matrices)
    def scores_alike(rows: Floats) -> None:
        assert MODELS[name].scores(rows) == pytest.approx(MODELS[name].expected(rows), rel=1e-13, abs=1e-13)

    scores_alike()


@pytest.mark.parametrize("name", MODELS)
def test_every_row_that_it_learned_from_scores_alike(name: str) -> None:
    rows, _ = training_rows()
    assert MODELS[name].scores(rows) == pytest.approx(MODELS[name].expected(rows), rel=1e-13, abs=1e-13)


def test_the_models_look_at_sets_of_codes_and_at_zeros() -> None:
    """Else the tests above would prove less than they say."""
    assert any(len(codes) > 2 for tree in MODELS["gaps"].form.trees for codes in tree.members.values())
    assert any((tree.feature >= 3).any() for tree in MODELS["zero_as_missing"].form.trees)
    assert not any((tree.feature >= 3).any() for tree in MODELS["gaps"].form.trees)
    assert {NEAR_ZERO, -NEAR_ZERO} <= MODELS["zero_as_missing"].form.cuts()[0]


def test_trees_without_a_split_add_their_leaf() -> None:
    rows, _ = training_rows()
    alone = written(3, min_data_in_leaf=3000)
    assert [tree.splits for tree in alone.form.trees] == [0]
    assert alone.scores(rows[:5]) == pytest.approx(alone.expected(rows[:5]))


def test_linear_leaves_are_refused_with_what_to_do() -> None:
    with pytest.raises(ArtifactError, match="linear_tree cannot be exported; train it without"):
        written(3, linear_tree=True)


def test_several_outputs_are_refused() -> None:
    rows, labels = training_rows()
    data = lgb.Dataset(rows, labels + (rows[:, 0] > 1), params=BASE)
    booster = lgb.train({**BASE, "objective": "multiclass", "num_class": 3}, data, 2)
    with pytest.raises(ArtifactError, match="several outputs cannot be exported"):
        BoosterForm.read(booster.model_to_string())
