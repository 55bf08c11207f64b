"""How good the served predictions of a window were: measured when labels are mature, estimated before."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

__all__ = ["PerformanceWindow"]


@dataclass(frozen=True)
class PerformanceWindow:
    """The predictions of one model version in one window of event time."""

    start: pd.Timestamp
    end: pd.Timestamp
    model_version: str
    metric: str
    """The metric of the use case's gates; higher is better."""
    value: float
    """NaN while no figure can be had from the labels there are."""
    low: float
    high: float
    expected: float
    """What the model reached on the test rows it was promoted by; NaN where that is unknown."""
    predictions: int
    labelled: int
    state: Literal["provisional", "mature"]
    """Only mature windows may lead to a training or a rollback."""
    estimate: float = float("nan")
    """What the calibrated scores alone promise (an estimate, never a measurement); NaN where there is no such."""

    @property
    def coverage(self) -> float:
        """Share of the predictions whose label is known, 0..1."""
        return self.labelled / self.predictions if self.predictions else 0.0
