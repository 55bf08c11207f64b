"""Labelled rows whose pattern a model can find. One seed, one frame."""

import numpy as np
import pandas as pd

from mlplatform.spec.training import (
    Candidate,
    Costs,
    Gates,
    LightGBMCandidate,
    LogisticCandidate,
    SplitByTime,
    Training,
    Tuning,
)

AS_OF = pd.Timestamp("2024-03-01")
DAYS = 70
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


def trees(**changes: object) -> Candidate:
    fields = {"name": "trees", "kind": "lightgbm", "rounds": 60, "tuning": Tuning(trials=2, seconds=60)}
    return LightGBMCandidate.model_validate(fields | changes)


def linear(**changes: object) -> Candidate:
    fields = {"name": "linear", "kind": "logistic", "tuning": Tuning(trials=2, seconds=60)}
    return LogisticCandidate.model_validate(fields | changes)


def training(*candidates: Candidate, **gates: object) -> Training:
    return Training(
        features=FEATURES,
        categorical=["channel"],
        split=SplitByTime(label_delay_days=3, train_days=30, tune_days=12, test_days=12, folds=2),
        candidates=list(candidates) or [trees()],
        costs=Costs(false_positive=5, false_negative=100),
        gates=Gates.model_validate({"floor": 0.1, "bootstrap_samples": 50} | gates),
    )
