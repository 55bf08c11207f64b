"""A cleaned model gets the same from a request as from a frame, and tells what was sent, not what became of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.cleaned import CleanedScorer
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trainer import trainer_for
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.rows import RowReader
from mlplatform.serving.scoring import Live
from mlplatform_tests.ml.data import linear, trees
from mlplatform_tests.ml.test_cleaned import POLICIES, cleaned

RULES = [
    Rule(name="amount", type="float", nullable=True, minimum=0, example=12.5),
    Rule(name="count", type="integer", minimum=0, example=3),
    Rule(name="channel", type="string", nullable=True, example="app"),
]
FEATURES = [rule.name for rule in RULES]
requests = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.none() | st.floats(0, 1e9),
            "count": st.integers(0, 10**6),
            "channel": st.none() | st.sampled_from(["app", "shop", "web", "telegraph"]),
        }
    ),
    min_size=1,
    max_size=20,
)


@pytest.fixture(scope="module", params=[trees, linear])
def model(request: pytest.FixtureRequest) -> Model:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": np.where(random.random(900) < 0.1, np.nan, random.lognormal(3, 1, 900)),
            "count": random.integers(0, 9, 900),
            "channel": random.choice(["app", "shop", "web"], 900),
        }
    )
    labels = (frame["amount"].fillna(0) + 9 * (frame["channel"] == "web") > 30).to_numpy(dtype=int)
    encoding = Encoding.learn(frame, FEATURES, ["channel"])
    training = cleaned(*POLICIES).model_copy(update={"features": FEATURES})
    candidate = trees(rounds=20) if request.param is trees else linear()
    trainer = trainer_for(candidate, encoding, "auc", training.task, training.policies)
    examples = Examples(encoding.matrix(frame), labels)
    scorer = trainer.prepare(examples, examples, 1)(trainer.defaults())
    return Model(encoding, scorer, Probability(Sigmoid(), 0.5), pd.Timestamp(0))


@given(requests)
@settings(max_examples=50, deadline=None)
def test_rows_of_a_request_are_cleaned_as_rows_of_a_frame(model: Model, sent: list[dict[str, Any]]) -> None:
    from_json, problems = RowReader(FEATURES, RULES, model.encoding.categories).read(sent)
    from_frame = model.matrix(pd.DataFrame(sent, columns=FEATURES))
    assert not problems
    assert np.array_equal(from_json, from_frame, equal_nan=True)
    assert isinstance(model.scorer, CleanedScorer)
    assert np.array_equal(model.scorer.cleaning(from_json), model.scorer.cleaning(from_frame), equal_nan=True)
    assert np.array_equal(model.predict(from_json), model.predict(from_frame))


def test_a_reason_names_the_feature_and_shows_the_value_that_was_sent(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    (tmp_path / "contract.json").write_text(dump_rules(RULES))
    (tmp_path / "importance.json").write_text("{}")
    pd.DataFrame([{"amount": 1.0, "count": 1, "channel": "app"}]).to_parquet(tmp_path / "reference.parquet")
    write_manifest(tmp_path, "fraud", "1", {"run_id": "run"})
    live = Live.of(load_bundle(tmp_path), "fraud:v1")
    sent = {"amount": 5e8, "count": 2, "channel": "telegraph"}
    reasons = live.predict([sent], explain=True)[0]["reasons"]
    assert {reason["feature"]: reason["value"] for reason in reasons} == sent
