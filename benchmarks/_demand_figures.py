"""Figures of forecasts on the same rows, and intervals of their differences.

WAPE: sum of absolute errors over sum of what was sold. MASE: absolute errors in units of the seasonal-naive forecast's
mean absolute error before the origin (Hyndman and Koehler, 2006). Pinball: mean loss of the three quantiles. Coverage:
share of rows inside the interval, which says 80 %. Intervals: 95 %, by a bootstrap over origins, the same draws for
every model: what happens on a day happens to all items.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks._demand_panels import Panel
from mlplatform.ml.metrics import Floats

__all__ = ["Figures", "compared"]

LEVELS = np.array([0.1, 0.5, 0.9])
SAMPLES = 2000


@dataclass(frozen=True)
class Figures:
    """Of one model."""

    wape: float
    mase: float
    pinball: float
    coverage_80: float
    behind_ours: tuple[float, float, float] | None
    """WAPE less ours, with its interval; None for ours."""
    better_folds: int
    """Origins at which its WAPE is below ours."""


def compared(panel: Panel, made: Mapping[str, pd.DataFrame], ours: str) -> dict[str, Figures]:
    """Figures of every model; raises ValueError when one of them has not forecast every row."""
    truth = pd.concat([panel.asked(origin) for origin in panel.origins], ignore_index=True)
    truth = truth[["series", "event_time", "horizon", "label", "naive_scale"]]
    joined = {name: truth.merge(answers, on=["series", "event_time", "horizon"]) for name, answers in made.items()}
    for name, rows in joined.items():
        if len(rows) != len(truth) or rows[["low", "middle", "high"]].isna().any(axis=None):
            raise ValueError(f"{name} forecast {len(rows)} of {len(truth)} rows, or some without a value")
    errors = {name: _by_origin(rows) for name, rows in joined.items()}
    sold = truth["label"].groupby(truth["event_time"]).sum().to_numpy(dtype=np.float64)
    draws = np.random.default_rng(0).integers(0, len(sold), (SAMPLES, len(sold)))
    return {
        name: _figures(rows, errors[name], errors[ours], sold, draws, name == ours) for name, rows in joined.items()
    }


def _by_origin(rows: pd.DataFrame) -> Floats:
    error = (rows["label"] - rows["middle"]).abs()
    return error.groupby(rows["event_time"]).sum().to_numpy(dtype=np.float64)


def _figures(rows: pd.DataFrame, error: Floats, ours: Floats, sold: Floats, draws: Floats, is_ours: bool) -> Figures:
    label = rows["label"].to_numpy(dtype=np.float64)
    below = label[:, None] - rows[["low", "middle", "high"]].to_numpy(dtype=np.float64)
    inside = (below[:, 0] >= 0) & (below[:, 2] <= 0)
    behind = error - ours
    drawn = behind[draws].sum(axis=1) / sold[draws].sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figures(
        wape=float(error.sum() / sold.sum()),
        mase=float((np.abs(below[:, 1]) / rows["naive_scale"]).mean()),
        pinball=float(np.maximum(LEVELS * below, (LEVELS - 1) * below).mean()),
        coverage_80=float(inside.mean()),
        behind_ours=None if is_ours else (float(behind.sum() / sold.sum()), float(low), float(high)),
        better_folds=int((behind < 0).sum()),
    )
