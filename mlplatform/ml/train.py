"""One candidate from rows to a calibrated model: split, search, fit, calibrate, judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import Estimate, bootstrap_metric, estimate
from mlplatform.ml.calibration import fit_calibration
from mlplatform.ml.cores import spare_threads
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples, row_groups, row_weights
from mlplatform.ml.folds import Fold, cut_folds
from mlplatform.ml.metrics import Floats, Labels, brier, expected_calibration_error, expected_cost
from mlplatform.ml.model import Model
from mlplatform.ml.splits import Parts, cut_parts, require_both_classes
from mlplatform.ml.threshold import cost_threshold
from mlplatform.ml.trainer import Params, Scorer, Trainer, trainer_for
from mlplatform.ml.tuning import Progress, Search, Trial, search
from mlplatform.spec.training import Candidate, Gates, SearchedCandidate, Training

__all__ = ["Judged", "LabelledRows", "TrainedCandidate", "finish", "fitted_model", "judge", "train_candidate"]

IMPORTANCE_ROWS = 2000
"""TreeSHAP costs 0.7 to 6 ms a row, sampled Shapley values alike; the mean over 2,000 is stable to about 3 %."""


@dataclass(frozen=True)
class Judged:
    """Figures of one model on one set of rows; cost is per row, in the unit of the declared costs."""

    rows: int
    positives: int
    auc: Estimate
    average_precision: Estimate
    brier: float
    calibration_error: float
    cost: float

    def flat(self) -> dict[str, float]:
        """Every figure under one name, for a tracker."""
        ranked = {"auc": self.auc, "average_precision": self.average_precision}
        edges = {f"{name}_{edge}": getattr(e, edge) for name, e in ranked.items() for edge in ("low", "high")}
        values = {name: e.value for name, e in ranked.items()}
        others = {"brier": self.brier, "calibration_error": self.calibration_error, "cost": self.cost}
        return {**values, **edges, **others, "rows": float(self.rows), "positives": float(self.positives)}


@dataclass(frozen=True)
class TrainedCandidate:
    """A model and everything a reader wants to know about how it came to be."""

    name: str
    model: Model
    params: Params
    trials: tuple[Trial, ...]
    tune: Judged
    """On the rows that stopped and calibrated the model: rather too good."""
    test: Judged
    boundaries: Mapping[str, str]
    train_rows: int
    seconds: float
    importance: Mapping[str, float]
    """Mean absolute contribution in log-odds, largest first."""


def train_candidate(
    frame: pd.DataFrame,
    candidate: SearchedCandidate,
    training: Training,
    *,
    event_time: str,
    as_of: pd.Timestamp,
    progress: Progress | None = None,
    log: Path | None = None,
) -> TrainedCandidate:
    """Train one declared candidate on labelled rows (one per example, columns: features, label, event time).

    The search sees the train window only, the final fit learns from it and stops early on the tune window,
    which also calibrates. The test window is touched once, for the figures. Where `log` holds finished trials of the
    same search, it goes on after them.
    """
    started = perf_counter()
    rows = LabelledRows.of(frame, training, event_time, as_of)
    trainer = trainer_for(candidate, rows.encoding, training.gates.metric, training.policies)
    split, label = training.split, training.label
    folds = [] if candidate.tuning.trials == 0 else cut_folds(rows.frame, split, event_time, label, as_of)
    found = _search(trainer, folds, rows.examples, candidate, training, progress, log)
    train, tune = rows.examples.at(rows.split.train), rows.examples.at(rows.split.tune)
    fitted = trainer.prepare(train, tune, spare_threads())(found.params)
    return finish(candidate, fitted, found, rows, training, started)


@dataclass(frozen=True)
class LabelledRows:
    """The rows of the three parts in time order, as the trainers take them."""

    frame: pd.DataFrame
    split: Parts
    encoding: Encoding
    examples: Examples

    @classmethod
    def of(cls, frame: pd.DataFrame, training: Training, event_time: str, as_of: pd.Timestamp) -> Self:
        """Cut and encode; raises TrainingError when a column is missing or a part lacks a class."""
        frame, split = _rows_in_use(frame, event_time, training, as_of)
        encoding, examples = _examples(frame, split, training)
        _require_classes(examples.labels, split)
        return cls(frame, split, encoding, examples)


def finish(
    candidate: Candidate, fitted: Scorer, found: Search, rows: LabelledRows, training: Training, started: float
) -> TrainedCandidate:
    """Calibrate on the tune rows, then judge; `started` is when the training began, by `perf_counter`."""
    split, tune = rows.split, rows.examples.at(rows.split.tune)
    model = fitted_model(candidate, fitted, rows, training)
    return TrainedCandidate(
        name=candidate.name,
        model=model,
        params=found.params,
        trials=found.trials,
        tune=judge(model, tune, training, candidate.seed),
        test=judge(model, rows.examples.at(split.test), training, candidate.seed),
        boundaries=split.boundaries(),
        train_rows=int(split.train.sum()),
        importance=model.importance(_sample(tune.rows, candidate.seed)),
        seconds=perf_counter() - started,
    )


def fitted_model(candidate: Candidate, fitted: Scorer, rows: LabelledRows, training: Training) -> Model:
    """A scorer calibrated on the tune rows, with the threshold of the declared costs."""
    split, tune = rows.split, rows.examples.at(rows.split.tune)
    calibration = fit_calibration(candidate.calibration, fitted.log_odds(tune.rows), tune.labels, tune.weights)
    threshold = cost_threshold(training.costs)
    return Model(rows.encoding, fitted, calibration, threshold, split.learned_until, split.held_out)


def judge(model: Model, examples: Examples, training: Training, seed: int) -> Judged:
    """Figures of a model on labelled rows, intervals by a stratified bootstrap."""
    scores = model.predict(examples.rows)
    labels, weights = examples.labels, examples.weights
    return Judged(
        rows=len(examples),
        positives=int(labels.sum()),
        auc=_interval(examples, scores, "auc", training.gates, seed),
        average_precision=_interval(examples, scores, "average_precision", training.gates, seed),
        brier=brier(labels, scores, weights),
        calibration_error=expected_calibration_error(labels, scores, weights=weights),
        cost=expected_cost(labels, scores, model.threshold, training.costs, weights),
    )


def _rows_in_use(
    frame: pd.DataFrame, event_time: str, training: Training, as_of: pd.Timestamp
) -> tuple[pd.DataFrame, Parts]:
    """Rows of the three parts, in time order whatever order they came in, so that the same rows give one model."""
    split = cut_parts(frame, training.split, event_time, as_of)
    used = frame[split.train | split.tune | split.test].sort_values(event_time, kind="stable")
    return used, cut_parts(used, training.split, event_time, as_of)


def _examples(frame: pd.DataFrame, split: Parts, training: Training) -> tuple[Encoding, Examples]:
    if training.label not in frame.columns:
        raise TrainingError(f"the training rows lack the label {training.label!r}; have {list(frame.columns)}")
    encoding = Encoding.learn(frame[split.train], training.features, training.categorical)
    labels = frame[training.label]
    if not labels.isin([0, 1]).all():
        raise TrainingError(f"{training.label!r} must be 0 or 1 in every row; drop rows whose label is not known yet")
    weights, groups = row_weights(frame, training.weight), row_groups(frame, training.split.group)
    return encoding, Examples(encoding.matrix(frame), labels.to_numpy(dtype=np.int64), weights, groups)


def _require_classes(labels: Labels, split: Parts) -> None:
    require_both_classes(labels[split.train], "train", split.extents["train"])
    require_both_classes(labels[split.tune], "tune", split.extents["tune"])
    require_both_classes(labels[split.test], "test", split.extents["test"])


def _search(
    trainer: Trainer,
    cut: Sequence[Fold],
    examples: Examples,
    candidate: SearchedCandidate,
    training: Training,
    progress: Progress | None,
    log: Path | None,
) -> Search:
    if candidate.tuning.trials == 0:
        return Search(trainer.defaults(), ())
    folds = []
    for fold in cut:
        require_both_classes(examples.labels[fold.train], "fold's train", fold.train_extent)
        require_both_classes(examples.labels[fold.validation], "fold's validation", fold.validation_extent)
        folds.append((examples.at(fold.train), examples.at(fold.validation)))
    return search(trainer, folds, candidate.tuning, training.gates.metric, progress, log)


def _interval(examples: Examples, scores: Floats, metric: str, gates: Gates, seed: int) -> Estimate:
    draws = bootstrap_metric(
        examples.labels,
        {"model": scores},
        metric,
        gates.bootstrap_samples,
        seed,
        examples.weights,
        examples.groups,
    )["model"]
    return estimate(draws, gates.confidence)


def _sample(rows: Floats, seed: int) -> Floats:
    kept = min(len(rows), IMPORTANCE_ROWS)
    chosen = np.random.default_rng(seed).choice(len(rows), kept, replace=False)
    return rows[np.sort(chosen)]
