"""Classes and amounts: learned, stored, read back, answered and judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlplatform.errors import TrainingError
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.examples import Examples
from mlplatform.ml.heads import Classes
from mlplatform.ml.model import Model
from mlplatform.ml.one_vs_rest import OneVsRestScorer
from mlplatform.ml.subset import SubsetScorer
from mlplatform.ml.tasks import Multiclass, Regression
from mlplatform.ml.train import train_candidate
from mlplatform.spec import Training
from mlplatform.spec.candidate import SklearnCandidate
from mlplatform.spec.task import MulticlassTask, RegressionTask

NAMES = ["low", "middle", "high"]
FOLDS = {"kind": "group", "key": "row", "tune_share": 0.25, "test_share": 0.25}


def rows(kind: str) -> pd.DataFrame:
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"row": np.arange(1200), "a": random.normal(size=1200), "b": random.normal(size=1200)})
    frame["shop"] = random.choice(["x", "y"], 1200)
    amount = frame["a"] + 0.5 * frame["b"] + (frame["shop"] == "x") + 0.3 * random.normal(size=1200)
    frame["label"] = pd.cut(amount, [-9, 0, 1, 9], labels=False) if kind == "multiclass" else amount
    return frame.assign(event_time=pd.Timestamp("2020-01-01"))


def training(kind: str, *candidates: dict[str, object]) -> Training:
    task = {"kind": kind, **({"classes": NAMES} if kind == "multiclass" else {})}
    return Training.model_validate(
        {
            "task": task,
            "features": ["a", "b", "shop"],
            "categorical": ["shop"],
            "split": FOLDS,
            "gates": {"floor": 0.1},
            "candidates": list(candidates),
        }
    )


KINDS = [
    ("multiclass", {"kind": "lightgbm", "name": "c", "rounds": 60, "tuning": {"trials": 2}}),
    ("multiclass", {"kind": "sklearn", "model": "logistic", "name": "c", "tuning": {"trials": 1}}),
    ("multiclass", {"kind": "sklearn", "model": "random_forest", "name": "c", "tuning": {"trials": 0}}),
    ("regression", {"kind": "lightgbm", "name": "c", "rounds": 60, "tuning": {"trials": 2}}),
    ("regression", {"kind": "sklearn", "model": "ridge", "name": "c", "tuning": {"trials": 1}}),
]


@pytest.mark.parametrize(("kind", "candidate"), KINDS, ids=lambda each: str(each)[:60])
def test_every_kind_beats_the_naive_answer_and_answers_the_same_when_it_was_stored(
    kind: str, candidate: dict[str, object], tmp_path: Path
) -> None:
    declared, frame = training(kind, candidate), rows(kind)
    trained = train_candidate(
        frame,
        declared.candidates[0],
        declared,
        event_time="event_time",
        as_of=pd.Timestamp("2020-01-02"),  # type: ignore[arg-type]
    )
    skill = trained.test.figures["log_skill" if kind == "multiclass" else "skill"]
    assert skill.low > 0.3
    trained.model.save(tmp_path)
    read = Model.load(tmp_path)
    matrix = read.matrix(frame.head(50))
    answers = read.predict(matrix)
    np.testing.assert_array_equal(answers, trained.model.predict(matrix))
    assert read.explain(matrix).shape == (50, 3)
    if kind == "multiclass":
        np.testing.assert_allclose(answers.sum(axis=1), 1)
        described = read.head.describe(answers)
        assert {each["class"] for each in described} <= set(NAMES)
        np.testing.assert_allclose(
            Multiclass(MulticlassTask(kind="multiclass", classes=NAMES)).read_answers(described), answers
        )


def test_reasons_are_of_the_class_that_is_answered_also_where_calibration_chose_it() -> None:
    fields: dict[str, object] = {
        "kind": "sklearn",
        "model": "logistic",
        "name": "c",
        "tuning": {"trials": 0},
        "ignore": ["shop"],
    }
    candidate = SklearnCandidate.model_validate(fields)
    trained = train_candidate(
        rows("multiclass"),
        candidate,
        training("multiclass", fields),
        event_time="event_time",
        as_of=pd.Timestamp("2020-01-02"),
    ).model
    assert isinstance(trained.head, Classes)
    assert isinstance(trained.scorer, SubsetScorer)
    assert isinstance(trained.scorer.inner, OneVsRestScorer)
    always_high = replace(trained.head, calibrations=(Sigmoid(), Sigmoid(), Sigmoid(intercept=50)))
    model = replace(trained, head=always_high)
    matrix = model.matrix(rows("multiclass").head(50))
    assert {each["class"] for each in model.head.describe(model.predict(matrix))} == {"high"}
    high = replace(trained.scorer, inner=trained.scorer.inner.scorers[2])
    np.testing.assert_array_equal(model.explain(matrix), high.contributions(matrix))


def test_a_perfect_answer_has_skill_one_and_the_naive_answer_none() -> None:
    amounts = Examples(np.zeros((4, 1)), np.asarray([1.0, 2.0, 3.0, 10.0]))
    regression = Regression(RegressionTask(kind="regression"))
    assert regression.figure("skill", amounts, amounts.labels.astype(float))(None) == 1
    assert regression.figure("skill", amounts, np.full(4, 2.5))(None) == 0
    classes = Examples(np.zeros((4, 1)), np.asarray([0, 0, 1, 2]))
    task = Multiclass(MulticlassTask(kind="multiclass", classes=NAMES))
    assert task.figure("log_skill", classes, np.eye(3)[classes.labels])(None) == pytest.approx(1)
    assert task.figure("log_skill", classes, np.tile([0.5, 0.25, 0.25], (4, 1)))(None) == pytest.approx(0)


def test_no_class_is_ever_impossible() -> None:
    head = Multiclass(MulticlassTask(kind="multiclass", classes=NAMES)).head(
        "sigmoid", np.tile([9.0, -9.0, -9.0], (20, 1)), Examples(np.zeros((20, 1)), np.asarray([0] * 10 + [1] * 10))
    )
    assert isinstance(head, Classes)
    assert head(np.asarray([[99.0, -99.0, -99.0]])).min() >= 1 / 23


def test_a_class_that_no_row_has_cannot_be_learned() -> None:
    task = Multiclass(MulticlassTask(kind="multiclass", classes=NAMES))
    with pytest.raises(TrainingError, match="has no row of high"):
        task.require(Examples(np.zeros((2, 1)), np.asarray([0, 1])), "train", "here")
    with pytest.raises(TrainingError, match="must be 0 to 2"):
        task.labels(pd.Series([0, 3], name="label"))
