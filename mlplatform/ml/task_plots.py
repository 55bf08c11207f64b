"""The pictures of a task: what a person looks at to see how good the answers on the test rows are."""

from typing import assert_never

import numpy as np
import pandas as pd

from mlplatform.ml.class_plots import plot_calibration, plot_decision_curve, plot_precision_recall
from mlplatform.ml.examples import row_weights
from mlplatform.ml.forecast_plots import plot_coverage, plot_error_by_horizon, plot_forecasts
from mlplatform.ml.metrics import Floats
from mlplatform.ml.order_plots import plot_ndcg_by_place, plot_right_by_place
from mlplatform.ml.table_plots import plot_amounts, plot_confusion
from mlplatform.ml.threshold import cost_threshold
from mlplatform.spec.task import BinaryTask, ForecastTask, MulticlassTask, RankingTask, RegressionTask
from mlplatform.spec.training import Training

__all__ = ["CARD_PICTURES", "task_pictures"]

CARD_PICTURES = {
    "binary": ("precision_recall", "calibration", "importance"),
    "multiclass": ("confusion", "calibration", "importance"),
    "regression": ("amounts", "coverage", "importance"),
    "forecast": ("forecasts", "error_by_horizon", "importance"),
    "ranking": ("ndcg_by_place", "right_by_place", "importance"),
}
"""Those that the model card shows."""


def task_pictures(training: Training, test: pd.DataFrame, answers: Floats, event_time: str) -> dict[str, bytes]:
    """PNGs by name. `test` holds the labelled test rows, `answers` [n] or [n, levels] what a model says of them."""
    task = training.task
    match task:
        case BinaryTask():
            return _binary(task, training, test, answers)
        case MulticlassTask():
            labels = test[training.label].to_numpy(dtype=np.int64)
            right = (answers.argmax(axis=1) == labels).astype(np.int64)
            return {
                "confusion": plot_confusion(labels, answers, task.classes),
                "calibration": plot_calibration(right, answers.max(axis=1), weights=row_weights(test, training.weight)),
            }
        case RegressionTask():
            return {
                "amounts": plot_amounts(test, answers, task, training.label),
                "coverage": plot_coverage(test, answers, task, training.label),
            }
        case ForecastTask():
            return {
                "forecasts": plot_forecasts(test, answers, task, training.label, event_time),
                "error_by_horizon": plot_error_by_horizon(test, answers, task, training.label),
                "coverage": plot_coverage(test, answers, task, training.label),
            }
        case RankingTask():
            labels, queries = test[training.label].to_numpy(dtype=np.int64), pd.factorize(test[task.query])[0]
            return {
                "ndcg_by_place": plot_ndcg_by_place(labels, answers, queries, task.k),
                "right_by_place": plot_right_by_place(labels, answers, queries, task.k),
            }
        case _:
            assert_never(task)


def _binary(task: BinaryTask, training: Training, test: pd.DataFrame, scores: Floats) -> dict[str, bytes]:
    labels = test[training.label].to_numpy(dtype=np.int64)
    threshold, weights = cost_threshold(task.costs), row_weights(test, training.weight)
    return {
        "precision_recall": plot_precision_recall(labels, scores, threshold, weights),
        "calibration": plot_calibration(labels, scores, weights=weights),
        "decision_curve": plot_decision_curve(labels, scores, threshold, weights),
    }
