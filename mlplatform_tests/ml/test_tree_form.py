"""What is stored of scikit-learn's trees scores like scikit-learn, also for values beside a threshold."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from mlplatform.errors import TrainingError
from mlplatform.ml.design import Design
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.forests import BoostingTrainer, ForestTrainer
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_scorer import OnnxScorer
from mlplatform.ml.tree_form import SURE, boosted_to_onnx, forest_to_onnx, trees_of_boosting, trees_of_forest
from mlplatform_tests.ml.data import boosting, forest, labelled_rows

COLUMNS = ["amount", "rate", "noise", "channel"]


@dataclass(frozen=True)
class Fitted:
    design: Design
    forest: Any
    boosting: Any
    stored_forest: OnnxScorer
    stored_boosting: OnnxScorer
    thresholds: tuple[float, ...]


def fitted() -> Fitted:
    rows = labelled_rows(3000)
    encoding = Encoding.learn(rows, COLUMNS, ["channel"])
    matrix, labels = encoding.matrix(rows), rows["label"].to_numpy()
    filled, as_is = (Design.learn(matrix, encoding.code_counts(), fill=fill) for fill in (True, False))
    votes = RandomForestClassifier(20, random_state=0).fit(filled.design(matrix), labels)
    steps = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(as_is.design(matrix), labels)
    trees = trees_of_boosting(steps, 20)
    baseline = float(steps._baseline_prediction[0, 0])
    cuts = np.concatenate([tree.threshold[tree.feature >= 0] for tree in [*trees, *trees_of_forest(votes)]])
    return Fitted(
        filled,
        votes,
        steps,
        OnnxScorer.of(forest_to_onnx(trees_of_forest(votes), filled), (0.0,) * 4),
        OnnxScorer.of(boosted_to_onnx(trees, baseline, as_is), (0.0,) * 4),
        tuple(cuts[np.isfinite(cuts)]),
    )


FITTED = fitted()
beside_a_threshold = st.builds(
    lambda cut, way: math.nextafter(cut, way) if way else cut,
    st.sampled_from(FITTED.thresholds),
    st.sampled_from([None, math.inf, -math.inf]),
)
rounded_to_a_threshold = st.sampled_from(FITTED.thresholds).map(lambda cut: float(np.float32(cut)))
number = st.one_of(beside_a_threshold, rounded_to_a_threshold, st.just(math.nan), st.floats(-1e6, 1e6))
code = st.sampled_from([0.0, 1.0, 2.0, math.nan])
matrices = st.lists(st.tuples(number, number, number, code), min_size=1, max_size=8).map(np.array)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_a_stored_forest_scores_like_scikit_learn(rows: Floats) -> None:
    share = FITTED.forest.predict_proba(FITTED.design.design(rows))[:, 1]
    drawn = share * (1 - 2 * SURE) + SURE
    assert FITTED.stored_forest.raw(rows) == pytest.approx(logit(drawn), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_stored_boosting_scores_like_scikit_learn_and_takes_missing_values_as_they_are(rows: Floats) -> None:
    as_is = Design(FITTED.design.numeric, (math.nan,) * 3, FITTED.design.categories)
    expected = FITTED.boosting.decision_function(as_is.design(rows))
    assert FITTED.stored_boosting.raw(rows) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_a_row_scores_alone_as_among_others(rows: Floats) -> None:
    for scorer in (FITTED.stored_forest, FITTED.stored_boosting):
        alone = [float(scorer.raw(rows[i : i + 1])[0]) for i in range(len(rows))]
        assert alone == pytest.approx(scorer.raw(rows), rel=1e-14)


def test_a_forest_that_is_sure_has_finite_log_odds_and_keeps_the_order() -> None:
    rows = np.array([[-5.0], [0.0], [5.0]] * 20)
    labels = np.tile([0, 0, 1], 20)
    sure = RandomForestClassifier(10, random_state=0, bootstrap=False).fit(rows, labels)
    scorer = OnnxScorer.of(forest_to_onnx(trees_of_forest(sure), Design.learn(rows, {})), (0.0,))
    assert scorer.raw(rows[:3]) == pytest.approx(logit([SURE, SURE, 1 - SURE]), abs=1e-3)


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_the_same_model_on_any_number_of_threads(kind: str, rows: pd.DataFrame) -> None:
    encoding = Encoding.learn(rows, COLUMNS, ["channel"])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    trainer = (
        ForestTrainer(forest(), encoding.code_counts())
        if kind == "forest"
        else BoostingTrainer(boosting(params={"max_iter": 5}), encoding.code_counts())
    )
    one, two = (trainer.prepare(examples, examples, threads)(trainer.defaults()) for threads in (1, 2))
    assert one.content == two.content  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["forest", "boosting"])
@pytest.mark.parametrize("name", ["max_dpth", "random_state"])
def test_a_parameter_that_is_not_free_is_refused_with_those_that_are(kind: str, name: str, rows: pd.DataFrame) -> None:
    encoding = Encoding.learn(rows, ["rate"], [])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    trainer = (
        ForestTrainer(forest(params={name: 1}), {})
        if kind == "forest"
        else BoostingTrainer(boosting(params={name: 1}), {})
    )
    with pytest.raises(TrainingError, match=f"params of candidate {kind} name {name}; allowed are .*max_depth"):
        trainer.prepare(examples, examples, 1)


def test_boosting_keeps_no_tree_after_the_best_one_on_the_tune_rows(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[HistGradientBoostingClassifier] = []

    class Seen(HistGradientBoostingClassifier):  # type: ignore[misc]
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(self)
            return super().fit(*args, **kwargs)

    monkeypatch.setattr("mlplatform.ml.forests.HistGradientBoostingClassifier", Seen)
    encoding = Encoding.learn(rows, ["rate"], [])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    half = np.arange(len(examples)) < len(examples) // 2
    trainer = BoostingTrainer(boosting(params={}), {})
    scorer = trainer.prepare(examples.at(half), examples.at(~half), 1)(trainer.defaults())
    kept = trees_in(scorer.content)  # type: ignore[attr-defined]
    assert seen[0].n_iter_ == kept + 30
    tune = examples.at(~half)
    score = scorer.raw(tune.rows)
    loss = float(np.mean(np.logaddexp(0, score) - tune.labels * score))
    assert -loss == pytest.approx(max(seen[0].validation_score_), abs=1e-6)


def trees_in(content: bytes) -> int:
    import onnx

    [trees] = [node for node in onnx.load_from_string(content).graph.node if node.op_type == "TreeEnsembleRegressor"]
    [numbers] = [list(each.ints) for each in trees.attribute if each.name == "nodes_treeids"]
    return max(numbers) + 1
