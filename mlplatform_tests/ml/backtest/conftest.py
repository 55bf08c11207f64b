"""A small history in which the pattern turns round on one day: what was a sign of a positive speaks against it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlplatform.spec import UseCase

START = pd.Timestamp("2024-01-01")
DAYS, A_DAY, TURN = 91, 60, 49
DELAY = 3


def small_use_case(**changes: Any) -> UseCase:
    content: dict[str, Any] = {
        "name": "small",
        "description": "A use case of a test.",
        "sources": [{"name": "rows", "kind": "files", "path": "rows.csv", "key": ["id"], "start": "2024-01-01"}],
        "entity_keys": ["id"],
        "training": {
            "task": {"kind": "binary", "costs": {"false_positive": 1, "false_negative": 5}},
            "features": ["x", "level"],
            "split": {"label_delay_days": DELAY, "train_days": 14, "tune_days": 7, "test_days": 7},
            "candidates": [{"name": "linear", "kind": "sklearn", "model": "logistic"}],
            "gates": {"metric": "auc", "floor": 0.6, "max_calibration_error": 1.0, "bootstrap_samples": 50},
        },
        "drift": {"window_days": 7, "min_rows": 100},
        "performance": {"min_labelled": 100},
        "policy": {"kind": "combined", "min_new_labelled_rows": 100, "cool_down_days": 7},
    }
    return UseCase.model_validate(content | changes)


def small_history(days: int = DAYS, turn: int = TURN, seed: int = 0, back: int | None = None) -> pd.DataFrame:
    """From day `turn` on (to `back`) `x` means the opposite, `level`, which tells little, is higher, and nothing else
    changes."""
    random = np.random.default_rng(seed)
    count = days * A_DAY
    times = START + pd.to_timedelta(np.sort(random.random(count)) * days, unit="D")
    until = START + pd.Timedelta(days=back or days)
    later = ((times >= START + pd.Timedelta(days=turn)) & (times < until)).astype(int)
    x = random.normal(size=count)
    chance = 1 / (1 + np.exp(1.5 - 2.5 * x * (1 - 2 * later)))
    return pd.DataFrame(
        {
            "id": range(count),
            "event_time": times.astype("datetime64[us]"),
            "x": x,
            "level": random.normal(size=count) + 2 * later,
            "label": (random.random(count) < chance).astype(int),
            "label_known_at": (times + pd.Timedelta(days=DELAY)).astype("datetime64[us]"),
        }
    )


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    return small_history()


@pytest.fixture(scope="session")
def spec() -> UseCase:
    return small_use_case()
