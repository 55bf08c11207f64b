from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlplatform.errors import TrainingError
from mlplatform.ml.compare import compare
from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.heads import Quantiles
from mlplatform.ml.model import Model
from mlplatform.ml.task_plots import CARD_PICTURES, task_pictures
from mlplatform.ml.tasks import Forecast, task_for
from mlplatform.ml.train import TrainedCandidate, labelled_examples, train_candidate
from mlplatform.spec.candidate import EnsembleCandidate, SearchedCandidate
from mlplatform_tests.ml.data import AS_OF, boosting, keras_network, torch_network
from mlplatform_tests.ml.task_data import forecast_rows, forecast_training, ridge, small_trees

KINDS = {
    "trees": small_trees(),
    "ridge": ridge(),
    "boosting": boosting(),
    "torch": torch_network(),
    "keras": keras_network(),
}
EXTRAS = {"torch": "torch", "keras": "tensorflow"}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return forecast_rows()


def train(rows: pd.DataFrame, candidate: SearchedCandidate, anchor: str | None = None) -> TrainedCandidate:
    training = forecast_training(candidate, anchor=anchor)
    return train_candidate(rows, candidate, training, event_time="event_time", as_of=AS_OF)


@pytest.fixture(scope="module", params=list(KINDS))
def trained(request: pytest.FixtureRequest, rows: pd.DataFrame) -> TrainedCandidate:
    if request.param in EXTRAS:
        pytest.importorskip(EXTRAS[request.param], reason=f"the extra {request.param} is not installed")
    return train(rows, KINDS[request.param])


def test_rows(rows: pd.DataFrame) -> pd.DataFrame:
    start = AS_OF - pd.Timedelta(days=21)
    return rows[(rows["event_time"] >= start) & (rows["event_time"] < AS_OF - pd.Timedelta(days=7))]


test_rows.__test__ = False  # type: ignore[attr-defined]


def test_a_forecast_beats_the_naive_one_and_its_interval_covers_what_it_should(trained: TrainedCandidate) -> None:
    figures = trained.test.figures
    assert figures["skill"].low > (0.1 if trained.name in ("trees", "boosting") else -0.05)
    assert figures["wape"].value < figures["wape_naive"].value
    assert 0.7 < figures["coverage"].value < 0.95


def test_quantiles_rise_and_stay_above_the_minimum(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    answers = trained.model.predict(trained.model.matrix(rows))
    assert answers.shape == (len(rows), 3)
    assert (np.diff(answers, axis=1) >= 0).all()
    assert (answers >= 0).all()


def test_a_stored_forecaster_answers_and_explains_bit_for_bit_alike(
    trained: TrainedCandidate, rows: pd.DataFrame, tmp_path: Path
) -> None:
    trained.model.save(tmp_path)
    again = Model.load(tmp_path)
    matrix = trained.model.matrix(rows.tail(100))
    assert (again.predict(matrix) == trained.model.predict(matrix)).all()
    assert (again.explain(matrix) == trained.model.explain(matrix)).all()
    assert again.head == trained.model.head


def test_what_is_known_ahead_moves_the_forecast(trained: TrainedCandidate) -> None:
    assert trained.importance["promotion"] > 1


def test_with_an_anchor_trees_follow_a_level_that_they_have_not_seen(rows: pd.DataFrame) -> None:
    model = train(rows, small_trees(), anchor="same_weekday").model
    high = rows.tail(200).assign(same_weekday=lambda frame: frame["same_weekday"] + 1000)
    median = model.predict(model.matrix(high))[:, 1]
    assert (median > 900).all()


def test_a_refit_follows_the_last_weeks(rows: pd.DataFrame) -> None:
    """Sales double when the tune part begins: who has learned from it errs less, by its share of the rows."""
    split = forecast_training().split
    doubled = AS_OF - pd.Timedelta(days=split.label_delay_days * 2 + split.test_days + split.tune_days)
    later = rows["event_time"] + pd.to_timedelta(rows["horizon"], unit="D") >= doubled
    jumped = rows.assign(label=rows["label"].where(~later, 2 * rows["label"]))
    candidate = small_trees(tuning={"trials": 0})
    biases = []
    for refit in (False, True):
        training = forecast_training(candidate).model_copy(update={"refit": refit})
        found = train_candidate(jumped, candidate, training, event_time="event_time", as_of=AS_OF)
        biases.append(abs(found.test.figures["bias"].value))
    assert biases[1] < biases[0]


def test_an_anchored_model_explains_its_anchor(rows: pd.DataFrame) -> None:
    model = train(rows, small_trees(), anchor="same_weekday").model
    matrix = model.matrix(rows.tail(50))
    parts, raw = model.explain(matrix).sum(axis=1), model.scorer.raw(matrix)[:, 1]
    # SHAP values add up to the answer less one constant.
    assert raw - parts == pytest.approx(np.full(50, (raw - parts)[0]), abs=1e-6)


def test_a_blend_of_forecasters_is_as_good_as_its_members(rows: pd.DataFrame) -> None:
    members = {name: train(rows, KINDS[name]) for name in ("trees", "boosting")}
    candidate = EnsembleCandidate(name="blend", kind="ensemble")
    training = forecast_training(*(KINDS[name] for name in members), candidate)
    models = {name: found.model for name, found in members.items()}
    found = train_ensemble(rows, candidate, models, training, event_time="event_time", as_of=AS_OF)
    skills = [member.test.figures["skill"].value for member in members.values()]
    assert found.test.figures["skill"].value > min(skills) - 0.01
    assert sum(float(weight) for weight in found.params.values()) == pytest.approx(1)
    assert found.model.explain(found.model.matrix(rows.head(5))).shape == (5, 5)


@given(st.lists(st.floats(0, 1000), min_size=40, max_size=120), st.floats(-5, 5), st.floats(0.1, 3))
@settings(max_examples=60, deadline=None)
def test_a_widened_interval_covers_its_own_tune_rows(amounts: list[float], shift: float, width: float) -> None:
    labels = np.asarray(amounts)
    raw = np.column_stack([labels * 0.9 + shift - width, labels * 0.9 + shift, labels * 0.9 + shift + width])
    head = Quantiles.fit((0.1, 0.5, 0.9), raw, labels, None, conformal=True)
    answers = head(raw)
    inside = (labels >= answers[:, 0] - 1e-6) & (labels <= answers[:, -1] + 1e-6)
    assert inside.mean() >= 0.8
    assert (np.diff(answers, axis=1) >= 0).all()


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=5), min_size=1, max_size=20),
    st.floats(-2, 2),
    st.floats(0, 10),
)
@settings(max_examples=80, deadline=None)
def test_answers_rise_however_the_raw_ones_cross_and_the_head_widens(
    raw: list[list[float]], widen: float, least: float
) -> None:
    answers = Quantiles((0.05, 0.25, 0.5, 0.75, 0.95), widen, least)(np.asarray(raw))
    assert (np.diff(answers, axis=1) >= -1e-9).all()


def test_figures_are_those_of_their_definitions() -> None:
    task = task_for(forecast_training().task)
    assert isinstance(task, Forecast)
    frame = pd.DataFrame(
        {
            "event_time": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-02"]),
            "same_weekday": [8.0, 30.0, 10.0],
            "naive_scale": [2.0, 4.0, 2.0],
            "label": [10.0, 20.0, 10.0],
        }
    )
    examples = labelled_examples(frame, np.empty((3, 0)), forecast_training(), "event_time")
    answers = np.array([[8.0, 9.0, 12.0], [10.0, 16.0, 18.0], [5.0, 12.0, 20.0]])
    found = {name: figure(None) for name, figure in task.figures(examples, answers).items()}
    assert found["wape"] == pytest.approx((1 + 4 + 2) / 40)
    assert found["wape_naive"] == pytest.approx((2 + 10 + 0) / 40)
    assert found["skill"] == pytest.approx(1 - 7 / 12)
    # The naive forecast stands for all three levels: mean of (.1 + .5 + .9) |error| / 3 where it is too low.
    naive = [(0.1 + 0.5 + 0.9) * 2 / 3, (0.9 + 0.5 + 0.1) * 10 / 3, 0.0]
    assert found["quantile_skill"] == pytest.approx(1 - found["pinball"] / np.mean(naive))
    assert found["mase"] == pytest.approx(np.mean([1 / 2, 4 / 4, 2 / 2]))
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["bias"] == pytest.approx((-1 - 4 + 2) / 40)
    pinball = [(0.2 + 0.5 + 0.2), (1.0 + 2.0 + 1.8), (0.5 + 1.0 + 1.0)]
    assert found["pinball"] == pytest.approx(np.mean(pinball) / 3)


def test_a_bootstrap_draws_whole_blocks_of_origins_whose_horizons_overlap(rows: pd.DataFrame) -> None:
    training = forecast_training()
    examples = labelled_examples(rows, np.empty((len(rows), 0)), training, "event_time")
    origin = pd.factorize(rows["event_time"], sort=True)[0]
    for drawn in task_for(training.task).resamples(examples, 20, seed=1):
        of_origin = pd.Series(drawn).groupby(origin)
        assert (of_origin.nunique() == 1).all()
        changes = int((np.diff(of_origin.first(), append=of_origin.first()[0]) != 0).sum())
        blocks = -(-len(of_origin) // training.split.delay_days)
        # Each block can change the count where it begins and where it ends, nowhere else.
        assert changes <= 2 * blocks
    assert drawn.sum() >= len(rows)


def test_a_label_that_is_no_number_is_an_error_that_counts_them(rows: pd.DataFrame) -> None:
    in_training = rows.index[rows["event_time"] == AS_OF - pd.Timedelta(days=60)][0]
    broken = rows.assign(label=rows["label"].where(rows.index != in_training))
    with pytest.raises(TrainingError, match=r"1 of .* labelled rows have no finite 'label'"):
        train(broken, small_trees())


def test_an_anchor_that_is_no_feature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.anchor is level, which is no amount among the features"):
        forecast_training(anchor="level")


def test_a_missing_naive_column_is_named(rows: pd.DataFrame) -> None:
    candidate = small_trees()
    training = forecast_training(candidate)
    task = training.task.model_copy(update={"naive": "yesterday"})
    with pytest.raises(TrainingError, match=r"task\.naive names 'yesterday'"):
        train_candidate(
            rows, candidate, training.model_copy(update={"task": task}), event_time="event_time", as_of=AS_OF
        )


def test_forecasters_are_compared_by_skill_and_their_coverage_is_a_gate(rows: pd.DataFrame) -> None:
    kinds = {name: KINDS[name] for name in ("trees", "ridge")}
    models = {name: train(rows, candidate).model for name, candidate in kinds.items()}
    training = forecast_training(*kinds.values(), max_latency_ms=500, slices=["series"], max_calibration_error=0.2)
    found = compare(models, None, test_rows(rows), training, event_time="event_time")
    assert found.metric == "skill"
    assert found.winner == found.challengers[0].name
    gates = {gate.name: gate for gate in found.challengers[0].gates}
    assert set(gates) == {"metric_floor", "incumbent", "calibration", "slices", "latency"}
    assert gates["calibration"].value == pytest.approx(abs(found.challengers[0].figures["coverage"].value - 0.8))
    assert [part.evidence for part in found.challengers[0].slices] == [14 * 7] * 3


def test_a_forecaster_has_pictures(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    test = test_rows(rows)
    answers = trained.model.predict(trained.model.matrix(test))
    drawn = task_pictures(forecast_training(), test, answers, "event_time")
    assert set(CARD_PICTURES["forecast"]) - {"importance"} <= set(drawn)
    for png in drawn.values():
        assert Image.open(BytesIO(png)).width == 650
        assert len(png) < 60_000
