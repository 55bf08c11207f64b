"""Labelled rows whose pattern a model can find. One seed, one frame."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from mlplatform.spec.candidate import (
    Candidate,
    KerasCandidate,
    LightGBMCandidate,
    SearchedCandidate,
    SklearnCandidate,
    TorchCandidate,
    Tuning,
)
from mlplatform.spec.folds import TimeFolds
from mlplatform.spec.split import SplitByTime
from mlplatform.spec.task import BinaryTask, Costs
from mlplatform.spec.training import Gates, Training

AS_OF = pd.Timestamp("2024-03-01")
DAYS = 70
SHORT = Tuning(trials=2, seconds=60)
FEATURES = ["amount", "rate", "night", "noise", "channel"]


def labelled_rows(rows: int = 8000, seed: int = 0) -> pd.DataFrame:
    """About 6 % positives over the 70 days before AS_OF; amounts have gaps, channel is text."""
    random = np.random.default_rng(seed)
    channel = random.choice(["app", "shop", "web"], rows)
    amount, rate, night = random.lognormal(3, 1, rows), random.normal(size=rows), random.random(rows) < 0.3
    log_odds = -5 + 0.015 * amount + 1.2 * rate + 1.0 * night + 1.5 * (channel == "web")
    times = AS_OF - pd.to_timedelta(np.sort(random.random(rows))[::-1] * DAYS, unit="D")
    return pd.DataFrame(
        {
            "event_time": times.astype("datetime64[us]"),
            "amount": np.where(random.random(rows) < 0.05, np.nan, amount),
            "rate": rate,
            "night": night,
            "noise": random.normal(size=rows),
            "channel": channel,
            "label": (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(int),
        }
    )


def trees(**changes: object) -> LightGBMCandidate:
    fields = {"name": "trees", "kind": "lightgbm", "rounds": 60, "tuning": SHORT}
    return LightGBMCandidate.model_validate(fields | changes)


def linear(**changes: object) -> SklearnCandidate:
    fields = {"name": "linear", "kind": "sklearn", "model": "logistic", "tuning": SHORT}
    return SklearnCandidate.model_validate(fields | changes)


def forest(**changes: object) -> SklearnCandidate:
    params = {"n_estimators": 40, "max_depth": 4, "max_features": 1.0}
    fields = {"name": "forest", "kind": "sklearn", "model": "random_forest", "tuning": SHORT, "params": params}
    return SklearnCandidate.model_validate(fields | changes)


def boosting(**changes: object) -> SklearnCandidate:
    fields = {"name": "boosting", "kind": "sklearn", "model": "hist_gradient_boosting", "tuning": SHORT}
    return SklearnCandidate.model_validate(fields | {"params": {"max_iter": 60}} | changes)


def torch_network(**changes: object) -> TorchCandidate:
    fields = {"name": "torch", "kind": "torch", "hidden": [16], "epochs": 20, "batch_size": 128, "tuning": SHORT}
    return TorchCandidate.model_validate(fields | changes)


def keras_network(**changes: object) -> KerasCandidate:
    fields = {"name": "keras", "kind": "keras", "hidden": [16], "epochs": 20, "batch_size": 128, "tuning": SHORT}
    return KerasCandidate.model_validate(fields | changes)


CANDIDATES: Mapping[str, Callable[..., SearchedCandidate]] = {
    "trees": trees,
    "linear": linear,
    "forest": forest,
    "boosting": boosting,
    "torch": torch_network,
    "keras": keras_network,
}
"""Every kind that learns from rows; the last two only where their extras are installed."""


def training(*candidates: Candidate, **gates: object) -> Training:
    return Training(
        task=BinaryTask(costs=Costs(false_positive=5, false_negative=100)),
        features=FEATURES,
        categorical=["channel"],
        split=SplitByTime(
            label_delay_days=3, train_days=30, tune_days=12, test_days=12, cross_validation=TimeFolds(folds=2)
        ),
        candidates=list(candidates) or [trees()],
        gates=Gates.model_validate({"floor": 0.1, "bootstrap_samples": 50} | gates),
    )
