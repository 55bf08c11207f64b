import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError, TrainingError
from mlplatform.ml.blend_weights import blend_weights  #
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model
from mlplatform.ml.train import TrainedCandidate
from mlplatform_tests.ml.conftest import blend


def sample(seed: int, noises: list[float]) -> tuple[Floats, Floats]:
    """Log-odds [2000, m] of members that see the truth through noise, and the labels."""
    random = np.random.default_rng(seed)
    truth = random.normal(-2, 1.5, 2000)
    labels = (random.random(2000) < 1 / (1 + np.exp(-truth))).astype(int)
    return np.column_stack([truth + random.normal(0, noise, 2000) for noise in noises]), labels


def log_loss(log_odds: Floats, labels: Floats) -> float:
    """Of the best calibration of the scores."""
    from sklearn.linear_model import LogisticRegression

    column = log_odds.reshape(-1, 1)
    score = LogisticRegression(C=np.inf).fit(column, labels).decision_function(column)
    return float(np.mean(np.logaddexp(0, score) - labels * score))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(0, 5), min_size=2, max_size=5))
def test_weights_are_shares_and_the_blend_fits_no_worse_than_any_member(seed: int, noises: list[float]) -> None:
    columns, labels = sample(seed, noises)
    weights = blend_weights(columns, labels)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    best = min(log_loss(column, labels) for column in columns.T)
    assert log_loss(columns @ weights, labels) <= best + 1e-3


def test_a_member_that_says_nothing_gets_no_weight_and_the_better_one_more() -> None:
    columns, labels = sample(0, [0.5, 1.5])
    noise = np.random.default_rng(1).normal(size=2000)
    weights = blend_weights(np.column_stack([columns, noise]), labels)
    assert weights[0] > weights[1] > weights[2]
    assert weights[2] < 0.05


def test_members_that_are_all_wrong_weigh_the_same() -> None:
    columns, labels = sample(0, [0.1, 0.1])
    assert blend_weights(-columns, labels).tolist() == [0.5, 0.5]


def test_a_blend_explains_by_the_weighted_contributions(trained_blend: TrainedCandidate, rows: pd.DataFrame) -> None:
    scorer = trained_blend.model.scorer
    x = trained_blend.model.matrix(rows.tail(20))
    parts = [
        trained_blend.params[f"weight_{name}"] * member.explain(x)  # type: ignore[operator]
        for name, member in scorer.members.items()  # type: ignore[attr-defined]
    ]
    assert scorer.contributions(x) == pytest.approx(sum(parts))


def test_a_blend_of_members_from_other_rows_is_refused(rows: pd.DataFrame, trained_trees: TrainedCandidate) -> None:
    fewer = rows[rows["channel"] != "web"]
    with pytest.raises(TrainingError, match="member trees was trained on other features or categories"):
        blend(fewer, {"trees": trained_trees})


def test_a_blend_whose_member_is_gone_says_so(trained_blend: TrainedCandidate, tmp_path: Path) -> None:
    trained_blend.model.save(tmp_path)
    name = next(iter(json.loads((tmp_path / "model.json").read_text())["weights"]))
    for file in (tmp_path / "members" / name).iterdir():
        file.unlink()
    with pytest.raises(ArtifactError, match=f"members/{name}"):
        Model.load(tmp_path)


def test_a_row_that_stands_for_three_weighs_like_three_rows() -> None:
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, 400)
    columns = labels[:, None] * [1.0, 0.4] + random.normal(size=(400, 2))
    counts = random.integers(1, 4, 400)
    repeated = blend_weights(np.repeat(columns, counts, axis=0), np.repeat(labels, counts))
    assert blend_weights(columns, labels, counts.astype(float)) == pytest.approx(repeated, abs=1e-3)
