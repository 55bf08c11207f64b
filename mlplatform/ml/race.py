"""Trials of a search beside each other, each given up when it falls behind those that were finished before it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from time import perf_counter
from typing import Any

import numpy as np

from mlplatform.ml.cores import available_cores
from mlplatform.ml.examples import Examples
from mlplatform.ml.tasks import Task
from mlplatform.ml.trainer import Fit, Params, Trainer
from mlplatform.ml.trial_log import TrialLog
from mlplatform.spec.candidate import Tuning

__all__ = ["BATCH", "WHOLE", "Progress", "Race", "Trial"]

WHOLE = 2
"""The first trials see all folds: what later ones are measured by."""
BATCH = 4
"""Trials beside each other. A number of its own, not that of the cores, because what is drawn and what is given up
depends on the trials before the batch: on any machine the same search."""

Progress = Callable[[int, float], None]
"""Told the number of a trial that has ended, and its value."""


@dataclass(frozen=True)
class Trial:
    """One point that was tried: its mean metric over the folds that it saw and how long they took."""

    number: int
    params: Params
    value: float
    seconds: float
    pruned: bool = False
    """Given up before it had seen all folds."""
    folds: tuple[float, ...] = ()
    """The metric in each fold that it saw."""


@dataclass
class Race:
    """Trials in batches: each goes through the folds on one thread, beside the others of its batch.

    Trials share nothing but prepared rows. LightGBM lets go of the GIL, and threads that share nothing do not wait for
    each other as OpenMP's do.
    """

    trainer: Trainer
    fits: Sequence[tuple[Fit, Examples]]
    task: Task
    metric: str
    tuning: Tuning
    log: TrialLog
    started: float = field(default_factory=perf_counter)
    first: tuple[float, ...] = ()
    """The defaults' value in each fold."""

    def run(self, study: Any, progress: Progress | None) -> list[Trial]:
        """Trials until a budget is spent."""
        finished: list[Trial] = []
        with ThreadPoolExecutor(min(BATCH, available_cores())) as pool:
            while (left := self.tuning.trials - len(finished)) > 0:
                batch = [study.ask() for _ in range(min(left, BATCH if finished else WHOLE))]
                points = [self.trainer.suggest(asked) for asked in batch]
                done = [trial for trial in takewhile(bool, pool.map(self._try, batch, points)) if trial]
                for asked, trial in zip(batch, done, strict=False):
                    self._tell(study, asked, trial)
                    if progress is not None:
                        progress(trial.number, trial.value)
                finished += done
                if len(done) < len(batch):
                    break
        return finished

    def _try(self, asked: Any, params: Params) -> Trial | None:
        """None where the time is up. The first trial is always run, and so is one that a killed search had begun."""
        if asked.number > 0 and self._spent() >= self.tuning.seconds and not self.log.began(params):
            return None
        values, seconds = [], 0.0
        for fold in range(len(self.fits)):
            value, took = self.log.recall(params, fold) or self._fit(params, fold)
            values.append(value)
            seconds += took
            if self._falls_behind(asked, values):
                break
        pruned = len(values) < len(self.fits)
        return Trial(asked.number, params, float(np.mean(values)), seconds, pruned, tuple(values))

    def _fit(self, params: Params, fold: int) -> tuple[float, float]:
        started = perf_counter()
        fit, rows = self.fits[fold]
        value = self.task.figure(self.metric, rows, fit(params).raw(rows.rows))(rows.weights)
        seconds = perf_counter() - started
        self.log.keep(params, fold, value, seconds, self._spent())
        return value, seconds

    def _falls_behind(self, asked: Any, values: Sequence[float]) -> bool:
        if not self.first or len(values) == len(self.fits):
            return False
        self._report(asked, values)
        return bool(asked.should_prune())

    def _report(self, asked: Any, values: Sequence[float]) -> None:
        # As a difference, because folds differ more than trials do, and the pruner looks at a trial's best step.
        asked.report(float(np.mean(values) - np.mean(self.first[: len(values)])), step=len(values))

    def _tell(self, study: Any, asked: Any, trial: Trial) -> None:
        from optuna.trial import TrialState

        if asked.number < WHOLE:
            self.first = self.first or trial.folds
            for seen in range(1, len(self.fits)):
                self._report(asked, trial.folds[:seen])
        if trial.pruned:
            study.tell(asked, state=TrialState.PRUNED)
        else:
            study.tell(asked, trial.value)

    def _spent(self) -> float:
        return self.log.spent + perf_counter() - self.started
