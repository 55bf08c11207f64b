"""Drift of what a model makes of its rows: its answers, and what each feature adds to them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlplatform.ml.design_effect import Ints
from mlplatform.ml.drift import DriftResult, find_drift
from mlplatform.ml.heads import Quantiles
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model
from mlplatform.spec.drift import Drift

__all__ = ["ANSWER", "Explained", "answers", "explain", "explanation_drift", "prediction_drift"]

ANSWER = "answer"
"""What the one column of prediction drift is called."""

Blocks = tuple[Ints | None, Ints | None]


@dataclass(frozen=True)
class Explained:
    """Some rows and why the model scores them so; contributions and scores are in `unit`."""

    frame: pd.DataFrame
    """[n] rows as they were given, also the columns that the model does not see."""
    scores: Floats
    """[n]: the raw score (of a forecast, the median's) on the scale of the contributions."""
    contributions: pd.DataFrame
    """[n, f]; where they are exact, each row adds up to its score less a constant of the model."""
    unit: str


def answers(model: Model, frame: pd.DataFrame) -> Floats:
    """What the model says of rows, [n]: probabilities, scores, or the medians of forecasts."""
    return _one(model, model.predict(model.matrix(frame)))


def explain(model: Model, frame: pd.DataFrame) -> Explained:
    """Scores and contributions of the rows of a frame that has at least the model's features."""
    rows = model.matrix(frame)
    return Explained(
        frame=frame,
        scores=_one(model, model.scorer.raw(rows)) * model.head.slope,
        contributions=pd.DataFrame(model.explain(rows), columns=list(model.features)),
        unit=model.head.unit,
    )


def prediction_drift(reference: Floats, current: Floats, drift: Drift, blocks: Blocks = (None, None)) -> DriftResult:
    """Answers [m] and [n] of one model on two samples, tested as a column is."""
    old, new = (pd.DataFrame({ANSWER: scores}) for scores in (reference, current))
    return find_drift(old, new, drift, columns=[ANSWER], blocks=blocks)


def explanation_drift(
    reference: Explained,
    current: Explained,
    drift: Drift,
    importance: Mapping[str, float] | None = None,
    blocks: Blocks = (None, None),
) -> DriftResult:
    """The contributions of each feature on two samples, tested as columns are: a feature that keeps its distribution
    may still come to matter more, beside others that have changed."""
    old, new = reference.contributions, current.contributions
    return find_drift(old, new, drift, columns=list(old.columns), importance=importance, blocks=blocks)


def _one(model: Model, values: Floats) -> Floats:
    """Of the quantiles of an amount the median, of classes the probability of the likeliest."""
    if values.ndim == 1:
        return values
    if not isinstance(model.head, Quantiles):
        return np.ascontiguousarray(values.max(axis=1))
    return np.ascontiguousarray(values[:, model.head.middle])
