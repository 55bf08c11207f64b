"""The search for parameters: Optuna's TPE over time-ordered folds."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mlplatform.ml.cores import available_cores
from mlplatform.ml.examples import Examples
from mlplatform.ml.tasks import Task
from mlplatform.ml.trainer import Fit, Params, Trainer
from mlplatform.ml.trial_log import TrialLog
from mlplatform.spec.candidate import Tuning

__all__ = ["Search", "Trial", "search"]

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Trial:
    """One point that was tried: its mean metric over the folds and how long that took."""

    number: int
    params: Params
    value: float
    seconds: float


@dataclass(frozen=True)
class Search:
    """What was tried, in order, and the best of it."""

    params: Params
    trials: tuple[Trial, ...]


def search(
    trainer: Trainer,
    folds: Sequence[tuple[Examples, Examples]],
    tuning: Tuning,
    task: Task,
    metric: str,
    progress: Progress | None = None,
    log: Path | None = None,
) -> Search:
    """Maximise the mean of `metric` over (train, validation) folds within the budget of `tuning`.

    The trainer's defaults are tried first, so the result is never worse than them on the folds. The same seed
    gives the same trials when the trial budget ends the search; when the time budget does, after the
    running trial, their number depends on the machine, the trials themselves do not.

    Finished trials are written to `log`; a search that finds them there takes their values and goes on, and what they
    took counts as spent.
    """
    if tuning.trials == 0:
        return Search(trainer.defaults(), ())
    import optuna

    # Folds run beside each other on one thread each: LightGBM lets go of the GIL, and threads that share
    # nothing do not wait for each other as OpenMP's do.
    fits = [_prepare(trainer, train, validation, task, tuning.seed) for train, validation in folds]
    finished = TrialLog.at(log)
    trials: list[Trial] = []

    def evaluate(params: Params) -> tuple[float, float]:
        started = perf_counter()
        values = pool.map(lambda fold: _score(fold[0], params, fold[1], task, metric), fits)
        value, seconds = float(np.mean(list(values))), perf_counter() - started
        finished.keep(params, value, seconds)
        return value, seconds

    def objective(trial: Any) -> float:
        params = trainer.suggest(trial)
        value, seconds = finished.recall(params) or evaluate(params)
        trials.append(Trial(trial.number, params, value, seconds))
        if progress is not None:
            progress(trial.number, value)
        if sum(each.seconds for each in trials) >= tuning.seconds:
            trial.study.stop()
        return value

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pool = ThreadPoolExecutor(min(len(fits), available_cores()))
    try:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=tuning.seed))
        study.enqueue_trial(dict(trainer.defaults()))
        study.optimize(objective, n_trials=tuning.trials)
    finally:
        pool.shutdown()
        optuna.logging.set_verbosity(verbosity)
    best = max(trials, key=lambda trial: (trial.value, -trial.number))
    return Search(best.params, tuple(trials))


def _prepare(trainer: Trainer, train: Examples, validation: Examples, task: Task, seed: int) -> tuple[Fit, Examples]:
    few, watched = (task.thinned(part, seed) for part in (train, validation))
    return trainer.prepare(few, watched, threads=1), validation


def _score(fit: Fit, params: Params, rows: Examples, task: Task, metric: str) -> float:
    return task.figure(metric, rows, fit(params).raw(rows.rows))(rows.weights)
