"""A whole model as one graph gives the answers of the model: every kind, calibration, policy and task."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError
from mlplatform.ml.calibration import Isotonic, Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.factors import Embedded
from mlplatform.ml.head_form import add_answers, add_calibrated
from mlplatform.ml.heads import Head, Probability, Quantiles
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model
from mlplatform.ml.model_form import Column, cuts_of, model_to_onnx
from mlplatform.ml.network_form import Inputs, network_to_onnx
from mlplatform.ml.onnx_graph import INPUT, OnnxGraph, Port
from mlplatform.ml.onnx_scorer import OnnxScorer, open_session
from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform.spec.candidate import EnsembleCandidate, SearchedCandidate, Tuning
from mlplatform.spec.training import Training
from mlplatform_tests.ml import data, task_data, test_tables

NO_SEARCH = Tuning(trials=0)
CLOSE = {"rel": 1e-12, "abs": 1e-12}


def columns_of(model: Model) -> list[Column]:
    codes = {name: {text: float(at) for at, text in enumerate(v)} for name, v in model.encoding.categories.items()}
    return [Column(name, codes.get(name)) for name in model.features]


def answers_of(model: Model, frame: pd.DataFrame) -> dict[str, Any]:
    """Of the graph, by name."""
    columns = columns_of(model)
    session = open_session(model_to_onnx(model, columns))
    given = {}
    for column in columns:
        values = frame[column.name]
        given[column.name] = (
            np.array([[column.missing if pd.isna(value) else str(value)] for value in values], dtype=object)
            if column.is_text
            else values.to_numpy(dtype=np.float64).reshape(-1, 1)
        )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, given), strict=True))


def hard(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows, and the same with gaps and with categories that nobody has seen."""
    numbers = frame.select_dtypes(["float64"]).columns
    texts = [name for name in frame.columns if frame[name].dtype == object]
    gaps = frame.assign(**dict.fromkeys(numbers, math.nan))
    unseen = frame.assign(**dict.fromkeys(texts, "never seen"))
    empty = frame.assign(**dict.fromkeys(texts))
    return pd.concat([frame, gaps.head(20), unseen.head(20), empty.head(20)], ignore_index=True)


def require_alike(model: Model, frame: pd.DataFrame, **close: float) -> None:
    rows = hard(frame[list(model.features)].tail(500))
    found, expected = answers_of(model, rows), model.predict(model.matrix(rows))
    assert np.isfinite(expected).all()
    name = "quantiles" if isinstance(model.head, Quantiles) else "score"
    assert found[name] == pytest.approx(expected, **(CLOSE | close))
    if isinstance(model.head, Probability):
        assert found["decision"].tolist() == (expected >= model.head.threshold).tolist()
        assert set(found["decision"].tolist()) == {True, False}
    if isinstance(model.head, Quantiles):
        assert found["forecast"].tolist() == found["quantiles"][:, model.head.middle].tolist()


def test_every_kind_of_candidate(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    require_alike(trained.model, rows)


POLICIES: Mapping[str, list[dict[str, Any]]] = {
    "numbers": [{"kind": "numeric", "cap": [0.01, 0.99], "missing": "median", "scale": "robust"}],
    "mean_labels": [{"kind": "target", "columns": ["channel"], "smoothing": 10}],
    "mean_labels_scaled": [{"kind": "target", "columns": ["channel"]}, {"kind": "numeric", "scale": "standard"}],
    # Of three categories with about 1,140 rows each.
    "rare_categories": [{"kind": "categorical", "columns": ["channel"], "rare_below": 1150, "missing": "category"}],
    "few_categories": [{"kind": "categorical", "columns": ["channel"], "rare_below": 1150}],
}


@pytest.mark.parametrize("policies", POLICIES)
@pytest.mark.parametrize("name", ["trees", "linear", "forest", "boosting"])
def test_cleaning_is_in_the_graph(name: str, policies: str, rows: pd.DataFrame) -> None:
    declared = Training.model_validate(data.training().model_dump() | {"cleaning": POLICIES[policies]})
    require_alike(trained_by(data.CANDIDATES[name](tuning=NO_SEARCH), rows, declared), rows)


def trained_by(candidate: SearchedCandidate, frame: pd.DataFrame, declared: Training) -> Model:
    return train_candidate(frame, candidate, declared, event_time="event_time", as_of=data.AS_OF).model


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic", "none"])
def test_every_calibration(calibration: str, rows: pd.DataFrame) -> None:
    candidate = data.trees(tuning=NO_SEARCH, calibration=calibration)
    require_alike(trained_by(candidate, rows, data.training()), rows)


def test_a_feature_that_the_model_ignores_changes_nothing(rows: pd.DataFrame) -> None:
    model = trained_by(data.trees(tuning=NO_SEARCH, ignore=["amount"]), rows, data.training())
    require_alike(model, rows)
    some = rows[list(model.features)].tail(50)
    assert (answers_of(model, some)["score"] == answers_of(model, some.assign(amount=1e6))["score"]).all()
    assert "amount" not in cuts_of(model)


FORECASTERS: Mapping[str, Callable[[], SearchedCandidate]] = {
    "trees": lambda: task_data.small_trees(tuning=NO_SEARCH),
    "conformal": lambda: task_data.small_trees(tuning=NO_SEARCH, calibration="conformal"),
    "boosting": lambda: data.boosting(tuning=NO_SEARCH),
    "ridge": lambda: task_data.ridge(tuning=NO_SEARCH),
}


@pytest.mark.parametrize("anchor", [None, "same_weekday"])
@pytest.mark.parametrize("name", FORECASTERS)
def test_forecasts_are_rising_quantiles(name: str, anchor: str | None) -> None:
    frame = task_data.forecast_rows()
    require_alike(trained_by(FORECASTERS[name](), frame, task_data.forecast_training(anchor=anchor)), frame)


def test_a_blend_of_forecasts() -> None:
    frame, declared = task_data.forecast_rows(), task_data.forecast_training()
    members = {name: trained_by(FORECASTERS[name](), frame, declared) for name in ("conformal", "ridge")}
    blend = EnsembleCandidate(name="blend", kind="ensemble")
    found = train_ensemble(frame, blend, members, declared, event_time="event_time", as_of=data.AS_OF)
    require_alike(found.model, frame)


@pytest.mark.parametrize("make", [task_data.small_trees, data.linear, data.forest])
def test_orders(make: Callable[..., SearchedCandidate]) -> None:
    frame = task_data.order_rows()
    require_alike(trained_by(make(tuning=NO_SEARCH), frame, task_data.order_training()), frame)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(
    "kind", [{"kind": "lightgbm", "rounds": 40}, {"kind": "sklearn", "model": "logistic"}], ids=str
)
def test_probabilities_of_several_classes(kind: dict[str, Any], calibration: str) -> None:
    frame = test_tables.rows("multiclass")
    frame.loc[::9, "a"] = math.nan
    tuned = {"tuning": {"trials": 0}, "calibration": calibration}
    declared = test_tables.training("multiclass", {**kind, "name": "c", **tuned})
    [candidate] = declared.candidates
    assert not isinstance(candidate, EnsembleCandidate)
    model = train_candidate(frame, candidate, declared, event_time="event_time", as_of=pd.Timestamp("2020-01-02")).model
    rows = hard(frame[list(model.features)].tail(500))
    found, expected = answers_of(model, rows), model.predict(model.matrix(rows))
    assert found["probabilities"] == pytest.approx(expected, **CLOSE)
    assert found["class"].tolist() == expected.argmax(axis=1).tolist()
    assert found["score"] == pytest.approx(expected.max(axis=1), **CLOSE)


def test_a_network_with_embedded_categories() -> None:
    """As PyTorch's are stored; whether it is installed does not matter to the graph."""
    random = np.random.default_rng(0)
    embedded = Embedded((2, 3), (3, 4))
    inputs = Inputs((0, 1), (0.5, -1.0), (), (2.0, 0.1), (1,))
    layers = [(random.normal(size=(3, 4)), random.normal(size=4)), (random.normal(size=(4, 1)), random.normal(size=1))]
    tables = [(random.normal(size=(4, 2)), random.normal(size=4)), (random.normal(size=(5, 2)), random.normal(size=5))]
    content = network_to_onnx(inputs, layers, embedded, tables)
    encoding = Encoding(("a", "b", "who", "what"), {"who": ("x", "y", "z"), "what": ("1", "2", "3", "4")})
    head = Probability(Sigmoid(0.9, 0.1), 0.5)
    model = Model(encoding, OnnxScorer.of(content, (0.0,) * 4), head, pd.Timestamp("2024-01-01"))
    frame = pd.DataFrame(
        {
            "a": random.normal(size=200),
            "b": np.where(random.random(200) < 0.2, math.nan, random.normal(size=200)),
            "who": random.choice(["x", "y", "z"], 200),
            "what": random.choice(["1", "2", "3", "4"], 200),
        }
    )
    require_alike(model, frame)


def test_categories_may_be_numbers_and_an_empty_text_may_be_one() -> None:
    assert not Column("a", {3.0: 0.0}).is_text
    assert Column("a", {"x": 0.0}).missing == ""
    assert Column("a", {"": 0.0, "?": 1.0}).missing == "??"
    assert Column("a").missing is None


def test_a_feature_may_not_be_called_like_an_answer(trained_linear: TrainedCandidate) -> None:
    model = trained_linear.model
    renamed = Encoding(tuple("score" if name == "rate" else name for name in model.features), model.encoding.categories)
    other = Model(renamed, model.scorer, model.head, model.learned_until)
    with pytest.raises(ArtifactError, match="features are called score like answers of the graph; rename them"):
        model_to_onnx(other, columns_of(other))


def test_the_cuts_are_the_values_at_which_trees_decide(trained_trees: TrainedCandidate, rows: pd.DataFrame) -> None:
    model = trained_trees.model
    cuts = cuts_of(model)
    assert set(cuts) <= set(model.features) - {"channel"}
    frame = rows[list(model.features)].head(1)
    moved = 0
    for cut in sorted(cuts["amount"])[:20]:
        sides = pd.concat([frame.assign(amount=cut), frame.assign(amount=math.nextafter(cut, math.inf))])
        below, above = model.predict(model.matrix(sides))
        moved += below != above
    assert moved


# Heads by themselves, for any score.

scores = st.lists(st.floats(-800, 800), min_size=1, max_size=10).map(np.array)


def headed(head: Head, raw: Floats, calibrated: bool = False) -> Any:
    from onnx import TensorProto

    graph = OnnxGraph()
    shape: list[str | int] = ["n"] if raw.ndim == 1 else ["n", raw.shape[1]]
    if calibrated:
        graph.add("Identity", [add_calibrated(graph, head, INPUT)], "found")
        outputs = [Port("found", TensorProto.DOUBLE, shape)]
    else:
        outputs = add_answers(graph, head, INPUT)
    content = graph.build_between("head", [Port(INPUT, TensorProto.DOUBLE, shape)], outputs)
    return open_session(content).run(None, {INPUT: raw})[-1 if isinstance(head, Quantiles) else 0]


ISOTONIC = Isotonic((-3.0, -1.0, -0.5, 2.0), (0.0, 0.1, 0.4, 1.0))
on_a_knot = st.lists(st.sampled_from(ISOTONIC.log_odds), min_size=1, max_size=4).map(np.array)


@settings(max_examples=80, deadline=None)
@given(st.one_of(scores, on_a_knot))
def test_probabilities_are_right_to_the_last_digits_also_where_they_are_tiny(raw: Floats) -> None:
    for calibration in (Sigmoid(), Sigmoid(0.7, -0.2), ISOTONIC, Isotonic((0.5,), (0.3,))):
        head = Probability(calibration, 0.5)
        assert headed(head, raw) == pytest.approx(head(raw), rel=1e-12, abs=1e-300)
        assert headed(head, raw, calibrated=True) == pytest.approx(head.calibrated(raw), rel=1e-12)


def test_a_score_on_the_threshold_is_decided_positive() -> None:
    from onnx import TensorProto

    graph, head = OnnxGraph(), Probability(ISOTONIC, 0.4)
    outputs = add_answers(graph, head, INPUT)
    session = open_session(graph.build_between("head", [Port(INPUT, TensorProto.DOUBLE, ["n"])], outputs))
    score, decision = session.run(None, {INPUT: np.array([-0.5, -0.51, -0.49])})
    assert score[0] == 0.4
    assert decision.tolist() == [answer["decision"] for answer in head.describe(score)] == [True, False, True]


levels = st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 3), min_size=1, max_size=6).map(np.array)


@settings(max_examples=80, deadline=None)
@given(levels, st.sampled_from([0.0, 0.3, -0.4, -0.9]), st.sampled_from([None, 0.0]))
def test_quantiles_rise_whatever_the_levels_say(raw: Floats, widen: float, minimum: float | None) -> None:
    head = Quantiles((0.1, 0.5, 0.9), widen, 2.0, (), minimum)
    assert headed(head, raw) == pytest.approx(head(raw), **CLOSE)
