"""How good the served predictions of a window were: measured when labels are mature, estimated before."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from mlplatform.ml.bootstrap import Estimate, bootstrap_figures, estimate
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import labelled_examples
from mlplatform.spec.performance import Performance
from mlplatform.spec.training import Training

__all__ = ["PerformanceWindow", "Served", "judge_window", "metric_draws", "window_starts"]

Moments = TypeVar("Moments", pd.Series, pd.Timestamp)

_FIRST_MONDAY = pd.Timestamp("1970-01-05")
_SAMPLES = 200


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
    """Only mature windows may lead to a training."""
    estimate: float = float("nan")
    """What the calibrated scores alone promise (an estimate, never a measurement); NaN where there is no such."""

    @property
    def coverage(self) -> float:
        """Share of the predictions whose label is known, 0..1."""
        return self.labelled / self.predictions if self.predictions else 0.0


@dataclass(frozen=True)
class Served:
    """What one model version answered in one window: `rows` with the columns that the task judges by and the label
    (missing where it is not known), and `answers` [n] or [n, levels]."""

    model_version: str
    rows: pd.DataFrame
    answers: Floats


def window_starts(times: Moments, days: int) -> Moments:
    """The start of each time's window: windows follow each other without a gap, and weeks begin on Mondays.

    The grid is fixed, so a window that is measured again as its labels arrive is the same window.
    """
    length = pd.Timedelta(days=days)
    return _FIRST_MONDAY + (times - _FIRST_MONDAY) // length * length


def judge_window(
    served: Served,
    training: Training,
    performance: Performance,
    *,
    start: pd.Timestamp,
    as_of: pd.Timestamp,
    event_time: str,
    expected: float = float("nan"),
    seed: int = 7,
) -> PerformanceWindow:
    """The metric of the gates on the labelled predictions, its interval, and whether it may be relied on.

    Mature: the window is over, every label has had its `delay_days`, and at least `min_coverage` of the predictions
    and `min_labelled` of them have one. `expected`: what the model showed before it was promoted.
    """
    end = start + pd.Timedelta(days=performance.window_days)
    known = served.rows[training.label].notna().to_numpy()
    labelled, predictions = int(known.sum()), len(served.rows)
    found = _figure(served.rows[known], served.answers[known], training, event_time, seed)
    complete = (
        as_of >= end + pd.Timedelta(days=training.split.delay_days)
        and labelled >= performance.min_labelled
        and labelled >= performance.min_coverage * predictions
        and np.isfinite(found.value)
    )
    return PerformanceWindow(
        start=start,
        end=end,
        model_version=served.model_version,
        metric=training.metric,
        value=found.value,
        low=found.low,
        high=found.high,
        expected=expected,
        predictions=predictions,
        labelled=labelled,
        state="mature" if complete else "provisional",
        estimate=task_for(training.task).promised(training.metric, served.answers),
    )


def metric_draws(
    rows: pd.DataFrame, answers: Floats, training: Training, event_time: str, *, samples: int, seed: int
) -> Floats:
    """The metric of the gates on one or more labelled rows, and on `samples` bootstrap samples of them, [samples + 1].

    Of equal rows and seed the samples are the same ones: draws of two models can be subtracted.
    """
    task, metric = task_for(training.task), str(training.metric)
    examples = labelled_examples(rows, np.empty((len(rows), 0)), training, event_time)
    drawn = task.resamples(examples, samples, seed)
    return bootstrap_figures({metric: task.figure(metric, examples, answers)}, drawn, examples.weights)[metric]


def _figure(rows: pd.DataFrame, answers: Floats, training: Training, event_time: str, seed: int) -> Estimate:
    """NaN where the rows cannot have the figure."""
    if not len(rows):
        return Estimate(float("nan"), float("nan"), float("nan"))
    draws = metric_draws(rows, answers, training, event_time, samples=_SAMPLES, seed=seed)
    return estimate(draws, training.gates.confidence)
