import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from mlplatform.errors import ArtifactError, TrainingError
from mlplatform.ml.calibration import Isotonic, Sigmoid, calibration_from_json, calibration_to_json, fit_calibration
from mlplatform.ml.cores import available_cores
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.linear import LinearTrainer
from mlplatform.ml.metrics import expected_calibration_error
from mlplatform.ml.model import Model
from mlplatform.ml.threshold import cost_threshold
from mlplatform.ml.train import TrainedCandidate
from mlplatform.ml.trainer import Goal
from mlplatform.ml.trees import TreesTrainer
from mlplatform.spec.task import Costs
from mlplatform_tests.ml.data import AS_OF, linear, trees


def test_a_stored_model_scores_and_explains_bit_for_bit_alike(
    trained: TrainedCandidate, rows: pd.DataFrame, tmp_path: Path
) -> None:
    model, x = trained.model, trained.model.matrix(rows.tail(500))
    model.save(tmp_path)
    again = Model.load(tmp_path)
    assert (again.predict(x) == model.predict(x)).all()
    assert (again.explain(x) == model.explain(x)).all()
    assert (again.features, again.head, again.learned_until) == (
        model.features,
        model.head,
        model.learned_until,
    )
    assert (again.matrix(rows.tail(9)) == x[-9:])[~np.isnan(x[-9:])].all()


def test_a_stored_model_holds_text_and_onnx_only(trained: TrainedCandidate, tmp_path: Path) -> None:
    trained.model.save(tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert (
        files
        == {
            "lightgbm": {"model.json", "model.txt"},
            "logistic": {"model.json", "model.onnx"},
            "onnx": {"model.json", "model.onnx"},
            "ensemble": {"model.json"}
            | {f"members/trees/{file}" for file in ("model.json", "model.txt")}
            | {f"members/linear/{file}" for file in ("model.json", "model.onnx")},
        }[trained.model.kind]
    )
    assert {"kind", "features", "categorical", "calibration", "threshold", "format"} <= set(
        json.loads((tmp_path / "model.json").read_text())
    )


def test_saving_twice_writes_the_same_bytes(trained: TrainedCandidate, tmp_path: Path) -> None:
    trained.model.save(tmp_path / "a")
    Model.load(tmp_path / "a").save(tmp_path / "b")
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_contributions_add_up_to_the_calibrated_log_odds(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    x = trained.model.matrix(rows.tail(300))
    rest = logit(trained.model.predict(x)) - trained.model.explain(x).sum(axis=1)
    assert np.ptp(rest) < 1e-6


def test_one_row_scores_like_many(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    x = trained.model.matrix(rows.tail(50))
    single = np.concatenate([trained.model.predict(x[i : i + 1]) for i in range(50)])
    assert single == pytest.approx(trained.model.predict(x), abs=1e-12)


def test_a_category_never_seen_is_missing(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    strange = rows.tail(1).assign(channel="telegraph")
    assert np.isnan(trained.model.matrix(strange)[0, -1])
    assert 0 < trained.model.predict(trained.model.matrix(strange))[0] < 1


@pytest.mark.parametrize("missing", ["model.json", "other"])
def test_an_incomplete_folder_is_an_error(trained: TrainedCandidate, tmp_path: Path, missing: str) -> None:
    trained.model.save(tmp_path)
    scorer = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "model.json"]
    (tmp_path / "model.json" if missing == "model.json" else scorer[0]).unlink()
    with pytest.raises(ArtifactError, match="package the model again"):
        Model.load(tmp_path)


def test_a_damaged_scorer_is_an_error(trained: TrainedCandidate, tmp_path: Path) -> None:
    trained.model.save(tmp_path)
    scorer = next(path for path in tmp_path.rglob("*") if path.is_file() and path.name != "model.json")
    scorer.write_bytes(b"tree\nnot a model")
    with pytest.raises(ArtifactError, match="cannot read"):
        Model.load(tmp_path)


def test_a_model_of_another_format_is_an_error(trained_trees: TrainedCandidate, tmp_path: Path) -> None:
    trained_trees.model.save(tmp_path)
    description = json.loads((tmp_path / "model.json").read_text()) | {"format": 99}
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(ArtifactError, match="format 99"):
        Model.load(tmp_path)


def test_onnx_scores_equal_scikit_learn(rows: pd.DataFrame) -> None:
    encoding = Encoding.learn(rows, ["amount", "rate", "noise"], [])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    scorer = LinearTrainer(linear(params={}), {}).prepare(examples, examples, 1)({"C": 0.5, "balanced": False})
    filled = np.where(np.isnan(examples.rows), np.nanmedian(examples.rows, axis=0), examples.rows)
    standard = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    peer = LogisticRegression(C=0.5, max_iter=500).fit(standard, examples.labels)
    assert scorer.raw(examples.rows) == pytest.approx(peer.decision_function(standard), abs=1e-9)


@pytest.mark.parametrize("constant", [3.0, 0.1])
def test_a_column_without_values_or_without_variation_does_no_harm(rows: pd.DataFrame, constant: float) -> None:
    frame = rows.assign(empty=np.nan, constant=constant)
    encoding = Encoding.learn(frame, ["rate", "empty", "constant"], [])
    examples = Examples(encoding.matrix(frame), frame["label"].to_numpy())
    scorer = LinearTrainer(linear(params={}), {}).prepare(examples, examples, 1)({"C": 1.0, "balanced": True})
    assert np.isfinite(scorer.raw(examples.rows)).all()
    assert scorer.contributions(examples.rows)[:, 1:] == pytest.approx(0)
    moved = examples.rows + np.array([0.0, 0.0, 1.0])
    assert scorer.raw(moved) == pytest.approx(scorer.raw(examples.rows))


def test_trees_do_not_depend_on_the_number_of_threads(rows: pd.DataFrame, tmp_path: Path) -> None:
    encoding = Encoding.learn(rows, ["amount", "rate"], [])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    trainer = TreesTrainer(trees(rounds=5), encoding, Goal("auc"))
    for threads in (1, max(2, available_cores())):
        (tmp_path / str(threads)).mkdir()
        trainer.prepare(examples, examples, threads)(trainer.defaults()).save(tmp_path / str(threads))
    first, second = (path.read_bytes() for path in tmp_path.glob("*/model.txt"))
    assert first == second


@pytest.mark.parametrize(("direction", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_a_declared_direction_holds_for_every_row_even_against_the_data(
    rows: pd.DataFrame, direction: str, sign: int
) -> None:
    encoding = Encoding.learn(rows, ["amount", "rate", "channel"], ["channel"])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    trainer = TreesTrainer(trees(rounds=20, **{direction: ["rate"]}), encoding, Goal("auc"))
    scorer = trainer.prepare(examples, examples, 1)(trainer.defaults())
    row = np.repeat(examples.rows[:100], 50, axis=0)
    row[:, 1] = np.tile(np.linspace(-3, 3, 50), 100)
    steps = sign * np.diff(scorer.raw(row).reshape(100, 50), axis=1)
    assert (steps >= 0).all()
    assert (steps > 0).any() == (direction == "increasing")


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_calibration_repairs_log_odds_that_are_too_sure(kind: str) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(-2, 1.5, 8000)
    labels = (random.random(8000) < 1 / (1 + np.exp(-truth))).astype(int)
    calibration = fit_calibration(kind, 2 * truth + 1, labels)
    assert expected_calibration_error(labels, Sigmoid()(2 * truth + 1)) > 0.04
    assert expected_calibration_error(labels, calibration(2 * truth + 1)) < 0.015


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic", "none"])
def test_calibrated_log_odds_and_probabilities_say_the_same(kind: str) -> None:
    log_odds, labels = np.array([-5.0, -1.0, 0.0, 1.0, 5.0]), np.array([0, 0, 1, 0, 1])
    calibration = fit_calibration(kind, log_odds, labels)
    assert expit(calibration.calibrate(log_odds)) == pytest.approx(calibration(log_odds), abs=2e-6)
    assert np.isfinite(calibration.calibrate(log_odds)).all()


@pytest.mark.parametrize("calibration", [Sigmoid(1.5, -0.1), Isotonic((-1.0, 2.0), (0.1, 0.7))])
def test_calibrations_survive_json(calibration: Sigmoid | Isotonic) -> None:
    assert calibration_from_json(json.loads(json.dumps(calibration_to_json(calibration)))) == calibration


def test_an_unknown_calibration_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="beta"):
        calibration_from_json({"kind": "beta"})


def test_no_calibration_leaves_the_log_odds_alone() -> None:
    assert fit_calibration("none", np.zeros(2), np.array([0, 1]))(np.array([0.0])) == 0.5


def test_the_threshold_makes_both_decisions_cost_the_same() -> None:
    costs = Costs(false_positive=5, false_negative=100)
    p = cost_threshold(costs)
    assert (1 - p) * costs.false_positive == pytest.approx(p * costs.false_negative)
    assert p == pytest.approx(5 / 105)


def test_a_missing_feature_is_an_error_that_names_it(rows: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match="speed"):
        Encoding.learn(rows, ["rate", "speed"], [])


def test_a_model_knows_until_when_it_learned(trained_trees: TrainedCandidate) -> None:
    assert trained_trees.model.learned_until == pd.Timestamp(trained_trees.boundaries["tune_end"])
    assert trained_trees.model.learned_until < AS_OF
