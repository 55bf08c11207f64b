"""The fraud features over a small lake, and a model that reads some of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlplatform.contracts.load import load_contract
from mlplatform.contracts.rules import describe, dump_rules
from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trees import TreesScorer
from mlplatform.resources.dbt import compile_features
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.serving.scoring import Live
from mlplatform.spec import load_declaration
from mlplatform_tests.lake.feature_history import transactions

HISTORY = "fraud.stg_transactions"
FEATURES = ("amount", "customer_mean_amount_30d", "customer_hours_since_last", "terminal_risk_7d", "is_night")
SPINE = (
    ("transaction_id", "BIGINT"),
    ("event_time", "TIMESTAMP"),
    ("customer_id", "BIGINT"),
    ("terminal_id", "BIGINT"),
    ("amount", "DOUBLE"),
    ("label", "TINYINT"),
    ("label_known_at", "TIMESTAMP"),
)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FeatureQuery:
    return compile_features(Home(tmp_path_factory.mktemp("compiled")), "fraud")


@pytest.fixture(scope="session")
def past() -> pa.Table:
    return transactions()


@pytest.fixture
def home(tmp_path: Path, past: pa.Table) -> Home:
    """With a lake that holds the past, and nothing else."""
    Lake.at(Home(tmp_path)).commit(lambda con: replace_table(con, HISTORY, past), "the past")
    return Home(tmp_path)


@pytest.fixture
def lake(home: Home) -> Lake:
    return Lake.at(home)


@pytest.fixture(scope="session")
def settings(compiled: FeatureQuery) -> RawSettings:
    declared = load_declaration("fraud")
    rules = {rule.name: rule for rule in describe(load_contract(declared.folder, "contract", "transactions"))}
    assert compiled.asked_by is not None
    return RawSettings(compiled, tuple(rules[name] for name in compiled.asked_by.fields), SPINE)


MakeLive = Callable[[str, RawSettings], Live]


@pytest.fixture
def make_live(tmp_path: Path) -> MakeLive:
    """A loaded bundle of a version that computes features by these settings."""

    def make(version: str, settings: RawSettings) -> Live:
        folder = tmp_path / f"bundle-{version}"
        _model().save(folder)
        declared = load_declaration("fraud")
        rules = describe(load_contract(declared.folder, "contract", "features"))
        (folder / "contract.json").write_text(dump_rules([rule for rule in rules if rule.name in FEATURES]))
        settings.save(folder)
        JournalSettings(True, ("transaction_id",), "event_time", FEATURES).save(folder)
        write_manifest(folder, "fraud", version)
        return Live.of(load_bundle(folder), f"fraud:v{version}")

    return make


def _model() -> Model:
    generator = np.random.default_rng(0)
    rows = generator.uniform(0, 100, (1000, len(FEATURES)))
    data = lgb.Dataset(rows, (rows[:, 0] + rows[:, 1] > 100).astype(int))
    booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 10)
    scorer = TreesScorer(lgb.Booster(model_str=booster.model_to_string()))
    return Model(Encoding(FEATURES, {}), scorer, Probability(Sigmoid(), 0.5), pd.Timestamp("2018-05-01"))


def with_text(settings: RawSettings, sql: str) -> RawSettings:
    return replace(settings, query=replace(settings.query, sql=sql))
