"""One candidate from rows to a calibrated model: split, search, fit, calibrate, judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import Estimate, bootstrap_figures, estimate
from mlplatform.ml.cores import spare_threads
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples, row_groups, row_weights
from mlplatform.ml.folds import Fold, cut_folds
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model
from mlplatform.ml.splits import Parts, cut_parts
from mlplatform.ml.tasks import task_for
from mlplatform.ml.trainer import Params, Scorer, refitting, trainer_for
from mlplatform.ml.tuning import Progress, Search, Trial, search
from mlplatform.ml.warm_start import Note
from mlplatform.spec.candidate import Candidate, SearchedCandidate
from mlplatform.spec.training import Training

__all__ = [
    "Fitted",
    "Judged",
    "LabelledRows",
    "TrainedCandidate",
    "finish",
    "fitted_model",
    "judge",
    "labelled_examples",
    "train_candidate",
]

IMPORTANCE_ROWS = 2000
"""TreeSHAP costs 0.7 to 6 ms a row, sampled Shapley values alike; the mean over 2,000 is stable to about 3 %."""


@dataclass(frozen=True)
class Judged:
    """Figures of one model on one set of rows, each with its interval, the most telling first."""

    rows: int
    evidence: int
    """Rows that carry it: positives, or all of a forecast."""
    figures: Mapping[str, Estimate]

    def flat(self) -> dict[str, float]:
        """Every figure under one name, for a tracker."""
        values = {name: found.value for name, found in self.figures.items()}
        edges = {f"{n}_{edge}": getattr(e, edge) for n, e in self.figures.items() for edge in ("low", "high")}
        return {**values, **edges, "rows": float(self.rows), "evidence": float(self.evidence)}


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
    """Mean absolute contribution in the unit of the model's head, largest first."""


def train_candidate(
    frame: pd.DataFrame,
    candidate: SearchedCandidate,
    training: Training,
    *,
    event_time: str,
    as_of: pd.Timestamp,
    progress: Progress | None = None,
    log: Path | None = None,
    earlier: Params | None = None,
    note: Note | None = None,
) -> TrainedCandidate:
    """Train one declared candidate on labelled rows (one per example, columns: features, label, event time).

    The search sees the train window only, the final fit learns from it and stops early on the tune window,
    which also calibrates; where `training.refit` says so, a second one learns from both. The test window is touched
    once, for the figures. Where `log` holds finished trials of the
    same search, it goes on after them. `earlier`: parameters of an earlier model, tried right after the defaults.
    """
    started = perf_counter()
    rows = LabelledRows.of(frame, training, event_time, as_of)
    split, label = training.split, training.label
    folds = [] if candidate.tuning.trials == 0 else cut_folds(rows.frame, split, event_time, label, as_of)
    searched = partial(search, progress=progress, log=log, earlier=earlier, note=note)
    found = _search(folds, rows, candidate, training, searched)
    return finish(candidate, fit(candidate, found.params, rows, training), found, rows, training, started)


@dataclass(frozen=True)
class LabelledRows:
    """The rows of the three parts in time order, as the trainers take them."""

    frame: pd.DataFrame
    split: Parts
    encoding: Encoding
    examples: Examples

    @classmethod
    def of(cls, frame: pd.DataFrame, training: Training, event_time: str, as_of: pd.Timestamp) -> Self:
        """Cut and encode; raises TrainingError when a column is missing or nothing can be learned from a part."""
        frame, split = _rows_in_use(frame, event_time, training, as_of)
        encoding = Encoding.learn(frame[split.train], training.features, training.categorical)
        examples = labelled_examples(frame, encoding.matrix(frame), training, event_time)
        task = task_for(training.task)
        for part, mask in (("train", split.train), ("tune", split.tune), ("test", split.test)):
            task.require(examples.at(mask), part, split.extents[part])
        return cls(frame, split, encoding, examples)


@dataclass(frozen=True)
class Fitted:
    """The model that is judged and served, and the one that its head was fitted with: the same without a refit."""

    model: Model
    first: Model
    rows: int
    """How many the model learned from."""


def fit(candidate: SearchedCandidate, params: Params, rows: LabelledRows, training: Training) -> Fitted:
    """Learn from train, stop and calibrate by tune; with `training.refit` learn once more, from both."""
    trainer = trainer_for(candidate, rows.encoding, training.metric, training.task, training.policies)
    train, tune = rows.examples.at(rows.split.train), rows.examples.at(rows.split.tune)
    first = fitted_model(candidate, trainer.prepare(train, tune, spare_threads())(params), rows, training)
    if not training.refit:
        return Fitted(first, first, len(train))
    both = rows.examples.at(rows.split.train | rows.split.tune)
    again = refitting(trainer).refit(params, first.scorer, both, spare_threads())
    return Fitted(replace(first, scorer=again), first, len(both))


def finish(
    candidate: Candidate, fitted: Fitted, found: Search, rows: LabelledRows, training: Training, started: float
) -> TrainedCandidate:
    """Judge; `started` is when the training began, by `perf_counter`."""
    split, tune, model = rows.split, rows.examples.at(rows.split.tune), fitted.model
    return TrainedCandidate(
        name=candidate.name,
        model=model,
        params=found.params,
        trials=found.trials,
        tune=judge(fitted.first, tune, training, candidate.seed),
        test=judge(model, rows.examples.at(split.test), training, candidate.seed),
        boundaries=split.boundaries(),
        train_rows=fitted.rows,
        importance=model.importance(_sample(tune.rows, candidate.seed)),
        seconds=perf_counter() - started,
    )


def fitted_model(candidate: Candidate, fitted: Scorer, rows: LabelledRows, training: Training) -> Model:
    """A scorer with the head that its task fits on the tune rows."""
    split, tune = rows.split, rows.examples.at(rows.split.tune)
    head = task_for(training.task).head(training.calibration(candidate), fitted.raw(tune.rows), tune)
    return Model(rows.encoding, fitted, head, split.learned_until, split.held_out)


def judge(model: Model, examples: Examples, training: Training, seed: int) -> Judged:
    """Figures of a model on labelled rows, intervals by a stratified bootstrap."""
    task, gates = task_for(training.task), training.gates
    positive = task.evidence(examples.labels)
    drawn = task.resamples(examples, gates.bootstrap_samples, seed)
    draws = bootstrap_figures(task.figures(examples, model.predict(examples.rows)), drawn, examples.weights)
    figures = {name: estimate(values, gates.confidence) for name, values in draws.items()}
    return Judged(rows=len(examples), evidence=int(positive.sum()), figures=figures)


def labelled_examples(frame: pd.DataFrame, rows: Floats, training: Training, event_time: str) -> Examples:
    """A frame and its matrix float64[n, f] as models learn from them and are judged on them."""
    if training.label not in frame.columns:
        raise TrainingError(f"the training rows lack the label {training.label!r}; have {list(frame.columns)}")
    task = task_for(training.task)
    weights, groups = row_weights(frame, training.weight), row_groups(frame, training.split.group)
    labels, aside = task.labels(frame[training.label]), task.aside(frame, event_time, training.split.delay_days)
    return Examples(rows, labels, weights, groups, aside)


def _rows_in_use(
    frame: pd.DataFrame, event_time: str, training: Training, as_of: pd.Timestamp
) -> tuple[pd.DataFrame, Parts]:
    """Rows of the three parts, in time order whatever order they came in, so that the same rows give one model."""
    split = cut_parts(frame, training.split, event_time, as_of)
    # Rows of one request or origin share their time.
    order = [event_time, *(name for name in training.task.columns if name in frame.columns)]
    used = frame[split.train | split.tune | split.test].sort_values(order, kind="stable")
    return used, cut_parts(used, training.split, event_time, as_of)


def _search(
    cut: Sequence[Fold],
    rows: LabelledRows,
    candidate: SearchedCandidate,
    training: Training,
    begin: Callable[..., Search],
) -> Search:
    task = task_for(training.task)
    trainer = trainer_for(candidate, rows.encoding, training.metric, task.searched, training.policies)
    if candidate.tuning.trials == 0:
        return Search(trainer.defaults(), ())
    folds = []
    for fold in cut:
        train, validation = rows.examples.at(fold.train), rows.examples.at(fold.validation)
        task.require(train, "fold's train", fold.train_extent)
        task.require(validation, "fold's validation", fold.validation_extent)
        folds.append((train, validation))
    return begin(trainer, folds, candidate.tuning, task, training.metric)


def _sample(rows: Floats, seed: int) -> Floats:
    kept = min(len(rows), IMPORTANCE_ROWS)
    chosen = np.random.default_rng(seed).choice(len(rows), kept, replace=False)
    return rows[np.sort(chosen)]
