"""The search for parameters: Optuna's TPE over folds, in which trials that fall behind are given up early."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform.ml.examples import Examples
from mlplatform.ml.race import WHOLE, Progress, Race, Trial
from mlplatform.ml.tasks import Task
from mlplatform.ml.trainer import Fit, Params, Trainer
from mlplatform.ml.trial_log import TrialLog
from mlplatform.ml.warm_start import Note, starting_points
from mlplatform.spec.candidate import Tuning

__all__ = ["Progress", "Search", "Trial", "search"]


@dataclass(frozen=True)
class Search:
    """What was tried, in order, and the best of what saw all folds."""

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
    *,
    earlier: Params | None = None,
    note: Note | None = None,
) -> Search:
    """Maximise the mean of `metric` over (train, validation) folds within the budget of `tuning`.

    The trainer's defaults are tried first, then `earlier`, the parameters of an earlier model, as far as they fit into
    the space (`note` is told where they do not); so the result is never worse than either on the folds. A trial
    whose mean over the folds so far lies below the median of the finished trials is given up (Golovin et al., 2017,
    "Google Vizier", section 3.2.2), where `tuning.pruning` says so.

    The same seed gives the same trials when the trial budget ends the search; when the time budget does, after the
    running trials, their number depends on the machine, the trials themselves do not. Finished folds are written to
    `log`; a search that finds them there takes their values and goes on, and what they took counts as spent.
    """
    if tuning.trials == 0:
        return Search(trainer.defaults(), ())
    fits = [_prepare(trainer, train, validation, task, tuning.seed) for train, validation in folds]
    race = Race(trainer, fits, task, metric, tuning, TrialLog.at(log))
    with _quiet() as optuna:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=WHOLE) if tuning.pruning else optuna.pruners.NopPruner()
        sampler = optuna.samplers.TPESampler(seed=tuning.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        for point in starting_points(trainer, earlier, note):
            study.enqueue_trial(dict(point))
        trials = race.run(study, progress)
    best = max((trial for trial in trials if not trial.pruned), key=lambda trial: (trial.value, -trial.number))
    return Search(best.params, tuple(trials))


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna without its words about each trial."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)


def _prepare(trainer: Trainer, train: Examples, validation: Examples, task: Task, seed: int) -> tuple[Fit, Examples]:
    few, watched = (task.thinned(part, seed) for part in (train, validation))
    return trainer.prepare(few, watched, threads=1), validation
