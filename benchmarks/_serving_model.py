"""The one model that all stacks serve: LightGBM, 150 trees of 31 leaves, 25 features, stored in each stack's way."""

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trees import TreesScorer
from mlplatform.serving.bundle import write_manifest

__all__ = ["write_everything"]

FEATURES = tuple(f"feature_{number:02d}" for number in range(25))
TREES = 150


def write_everything(folder: Path) -> dict[str, float]:
    """Write `plain/model.txt`, `mlflow/` and `bundle/` below `folder`; return one row of features."""
    booster = _train()
    (folder / "plain").mkdir()
    booster.save_model(folder / "plain" / "model.txt")
    _save_mlflow(booster, folder / "mlflow")
    _save_bundle(booster, folder / "bundle")
    return dict(zip(FEATURES, np.random.default_rng(1).normal(size=len(FEATURES)).round(4).tolist(), strict=True))


def _train() -> lgb.Booster:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(20_000, len(FEATURES)))
    labels = (rows[:, :5].sum(axis=1) + generator.normal(size=len(rows)) > 1).astype(int)
    data = lgb.Dataset(rows, labels, feature_name=list(FEATURES))
    booster = lgb.train({"objective": "binary", "num_leaves": 31, "verbosity": -1, "seed": 0}, data, TREES)
    return lgb.Booster(model_str=booster.model_to_string())


def _save_mlflow(booster: lgb.Booster, folder: Path) -> None:
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(booster, folder)


def _save_bundle(booster: lgb.Booster, folder: Path) -> None:
    encoding = Encoding(FEATURES)
    Model(encoding, TreesScorer(booster), Probability(Sigmoid(), 0.5), pd.Timestamp("2018-07-01")).save(folder)
    rules = [Rule(name=name, type="float", minimum=-100, maximum=100, example=0.5) for name in FEATURES]
    (folder / "contract.json").write_text(dump_rules(rules), encoding="utf-8")
    write_manifest(folder, "bench", "1")
