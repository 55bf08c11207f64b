"""A real, small model with a contract that has every kind of rule, sealed as a bundle."""

from collections.abc import Callable
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trees import TreesScorer
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.scoring import Live

RULES = [
    Rule(name="amount", type="float", minimum=0, maximum=10_000, description="Euros <gross>", example=12.5),
    Rule(name="count_7d", type="integer", minimum=0, example=3),
    Rule(name="is_night", type="boolean", example=False),
    Rule(name="channel", type="string", categories=["chip", "online", "swipe"], example="chip"),
    Rule(name="risk", type="float", nullable=True, minimum=0, maximum=1, example=0.1),
    Rule(name="weekday", type="integer", categories=[0, 1, 2, 3, 4, 5, 6], example=2),
    Rule(name="event_time", type="timestamp", example="2018-04-01T00:00:00"),
]
FEATURES = tuple(rule.name for rule in RULES[:-1])
CHANNELS = ("chip", "online", "swipe")
GOOD = {"amount": 250.0, "count_7d": 4, "is_night": True, "channel": "online", "risk": None, "weekday": 6}

MakeBundle = Callable[[str], Path]


def small_model(seed: int) -> Model:
    generator = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            generator.uniform(0, 500, 2000),
            generator.integers(0, 20, 2000),
            generator.integers(0, 2, 2000),
            generator.integers(0, 3, 2000),
            generator.uniform(0, 1, 2000),
            generator.integers(0, 7, 2000),
        ]
    )
    labels = (rows[:, 0] + 200 * rows[:, 4] + generator.normal(0, 50, 2000) > 400).astype(int)
    data = lgb.Dataset(rows, labels, categorical_feature=[3])
    booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed}, data, 20)
    text = lgb.Booster(model_str=booster.model_to_string())
    encoding = Encoding(FEATURES, {"channel": CHANNELS})
    return Model(encoding, TreesScorer(text), Probability(Sigmoid(), 0.3), pd.Timestamp("2018-07-01"))


def write_bundle(folder: Path, version: str, use_case: str = "fraud") -> Path:
    """A bundle as packaging makes it; each version is another model."""
    small_model(seed=sum(version.encode())).save(folder)
    (folder / "contract.json").write_text(dump_rules(RULES))
    (folder / "importance.json").write_text("{}")
    pd.DataFrame([GOOD]).to_parquet(folder / "reference.parquet")
    write_manifest(folder, use_case, version, {"run_id": f"run-{version}"})
    return folder


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    return lambda version: write_bundle(tmp_path / f"bundle-{version}", version)


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle for every test that only reads it."""
    return write_bundle(tmp_path_factory.mktemp("sealed") / "bundle", "1")


@pytest.fixture(scope="session")
def live(sealed: Path) -> Live:
    return Live.of(load_bundle(sealed), "fraud:v1")
