"""Rows of a forecast and of an order, whose pattern a model can find."""

import numpy as np
import pandas as pd

from mlplatform.spec.candidate import Candidate, LightGBMCandidate, SklearnCandidate
from mlplatform.spec.folds import TimeFolds
from mlplatform.spec.split import SplitByTime
from mlplatform.spec.task import ForecastTask, RankingTask
from mlplatform.spec.training import Gates, Training
from mlplatform_tests.ml.data import AS_OF, SHORT

__all__ = ["forecast_rows", "forecast_training", "order_rows", "order_training", "ridge", "small_trees"]

DAYS = 120
SEASON = 7
TWO_FOLDS = TimeFolds(folds=2)


def small_trees(**changes: object) -> LightGBMCandidate:
    return LightGBMCandidate.model_validate(
        {"name": "trees", "kind": "lightgbm", "rounds": 80, "tuning": SHORT} | changes
    )


def ridge(**changes: object) -> SklearnCandidate:
    fields = {"name": "ridge", "kind": "sklearn", "model": "ridge", "tuning": SHORT}
    return SklearnCandidate.model_validate(fields | changes)


def forecast_rows(seed: int = 0) -> pd.DataFrame:
    """Three series of different size with a weekly season, forecast 1 to 7 days ahead; one day a week known ahead."""
    random = np.random.default_rng(seed)
    first = AS_OF - pd.Timedelta(days=DAYS)
    parts = []
    for number, level in enumerate([10.0, 40.0, 100.0]):
        promotion = random.random(DAYS + 2 * SEASON) < 0.2
        weekly = 1 + 0.4 * np.sin(np.arange(len(promotion)) * 2 * np.pi / SEASON)
        sold = level * weekly * (1 + 0.5 * promotion) * random.lognormal(0, 0.15, len(promotion))
        for horizon in range(1, SEASON + 1):
            days = np.arange(SEASON, len(sold) - horizon)
            parts.append(
                pd.DataFrame(
                    {
                        "series": f"s{number}",
                        "event_time": first + pd.to_timedelta(days - SEASON, unit="D"),
                        "horizon": horizon,
                        "promotion": promotion[days + horizon],
                        "same_weekday": sold[days + horizon - SEASON],
                        "weekday": (days + horizon) % SEASON,
                        "naive_scale": level * 0.25,
                        "label": sold[days + horizon],
                    }
                )
            )
    rows = pd.concat(parts, ignore_index=True)
    rows["event_time"] = rows["event_time"].astype("datetime64[us]")
    return rows


def forecast_training(*candidates: Candidate, anchor: str | None = None, **gates: object) -> Training:
    return Training(
        task=ForecastTask(
            kind="forecast",
            series="series",
            horizon="horizon",
            naive="same_weekday",
            scale="naive_scale",
            anchor=anchor,
            minimum=0,
        ),
        features=["series", "horizon", "promotion", "same_weekday", "weekday"],
        categorical=["series"],
        split=SplitByTime(label_delay_days=7, train_days=60, tune_days=14, test_days=14, cross_validation=TWO_FOLDS),
        candidates=list(candidates) or [small_trees()],
        gates=Gates.model_validate({"floor": 0.05, "bootstrap_samples": 50} | gates),
    )


def order_rows(requests: int = 500, candidates: int = 20, seed: int = 0) -> pd.DataFrame:
    """Requests with twenty candidates each; those that are near and popular are right more often."""
    random = np.random.default_rng(seed)
    rows = requests * candidates
    request = np.repeat(np.arange(requests), candidates)
    near, popular = random.random(rows), random.random(rows)
    right = random.random(rows) < 1 / (1 + np.exp(5 - 4 * near - 2 * popular))
    times = AS_OF - pd.to_timedelta(np.sort(random.random(requests))[::-1] * 100, unit="D")
    return pd.DataFrame(
        {
            "request_id": request,
            "item": np.tile(np.arange(candidates), requests),
            "event_time": times.astype("datetime64[us]").to_numpy()[request],
            "near": near,
            "popular": popular,
            "noise": random.random(rows),
            "label": right.astype(int),
        }
    ).sample(frac=1, random_state=seed)


def order_training(*candidates: Candidate, **gates: object) -> Training:
    return Training(
        task=RankingTask(kind="ranking", query="request_id", item="item", k=5),
        features=["near", "popular", "noise"],
        split=SplitByTime(label_delay_days=1, train_days=60, tune_days=15, test_days=15, cross_validation=TWO_FOLDS),
        candidates=list(candidates) or [small_trees()],
        gates=Gates.model_validate({"floor": 0.1, "bootstrap_samples": 50} | gates),
    )
