"""A search that is killed goes on after its finished trials, and ends as if it had not been killed."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.tasks import task_for
from mlplatform.ml.trainer import Fit, Params, Trainer, trainer_for
from mlplatform.ml.trial_log import TrialLog
from mlplatform.ml.tuning import Search, Trial, search
from mlplatform.spec.candidate import Tuning
from mlplatform_tests.ml.data import labelled_rows, linear, training

TRIALS = 12
KILLED = """
import sys, time
from pathlib import Path
from mlplatform_tests.ml.test_trial_log import searched
searched(Path(sys.argv[1]), lambda *_: time.sleep(0.2))
"""


class Counted:
    """The linear trainer, and how often it was asked to fit."""

    def __init__(self, inner: Trainer) -> None:
        self.inner, self.fits = inner, 0

    def suggest(self, trial: object) -> Params:
        return self.inner.suggest(trial)

    def defaults(self) -> Params:
        return self.inner.defaults()

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        fit = self.inner.prepare(train, tune, threads)

        def counted(params: Params) -> object:
            self.fits += 1
            return fit(params)

        return counted  # type: ignore[return-value]


def searched(log: Path | None, progress: object = None, seconds: float = 600) -> tuple[Search, int]:
    """A search over three folds, and how many fits it took."""
    rows = labelled_rows(900)
    encoding = Encoding.learn(rows, ["rate", "night", "noise"], [])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    thirds = [examples.at(np.arange(900) % 3 == part) for part in range(3)]
    folds = [(thirds[part], thirds[part - 1]) for part in range(3)]
    task = training().task
    trainer = Counted(trainer_for(linear(), encoding, "auc", task))
    tuning = Tuning(trials=TRIALS, seconds=seconds)
    found = search(trainer, folds, tuning, task_for(task), "auc", progress, log)  # type: ignore[arg-type]
    return found, trainer.fits


def without_seconds(found: Search) -> list[Trial]:
    return [replace(trial, seconds=0.0) for trial in found.trials]


def fits_of(found: Search) -> int:
    return sum(len(trial.folds) for trial in found.trials)


def test_a_search_that_was_killed_goes_on_after_its_finished_trials(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(log)])
    try:
        until = time.monotonic() + 300
        while not log.exists() or log.read_text().count("\n") < 4:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
    assert process.wait() == -9
    finished = log.read_text().count("\n")

    resumed, fits = searched(log)
    whole, all_fits = searched(None)
    assert all_fits == fits_of(whole) < TRIALS * 3
    assert fits == all_fits - finished > 0
    assert without_seconds(resumed) == without_seconds(whole)
    assert any(trial.pruned for trial in resumed.trials)
    assert resumed.params == whole.params


@given(kept=st.integers(0, 20))
@settings(max_examples=5, deadline=None)
def test_after_whichever_fold_it_was_killed_it_ends_as_if_it_had_not_been(
    kept: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("kept") / "log.jsonl"
    whole, all_fits = searched(log)
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == all_fits
    log.write_text("".join(lines[:kept]))
    resumed, fits = searched(log)
    assert fits == all_fits - min(kept, all_fits)
    assert without_seconds(resumed) == without_seconds(whole)


def test_what_the_killed_search_spent_counts_in_the_budget(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    whole, _ = searched(log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first_folds = {key for key, fold, *_ in lines[:8] if fold == 0}
    # Threads write: the fold of a later trial may stand before that of an earlier one.
    begun = list(takewhile(lambda trial: json.dumps(trial.params, sort_keys=True) in first_folds, whole.trials))
    log.write_text("".join(json.dumps([*line[:4], 100.0]) + "\n" for line in lines[:8]))
    found, _ = searched(log, seconds=50)
    # Those that it had begun are finished, no other is begun.
    assert without_seconds(found) == without_seconds(whole)[: len(begun)]
    assert begun


@pytest.mark.parametrize("torn", ["", "[", '["{}", 0.5', "null", "3", '{"a": 1}'])
def test_a_line_that_was_not_finished_is_left_out_and_does_no_harm_to_the_next(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.jsonl"
    TrialLog.at(path).keep({"C": 1.0}, 0, 0.7, 2.0, 9.0)
    with path.open("a") as file:
        file.write(torn)
    TrialLog.at(path).keep({"C": 2.0}, 1, 0.8, 3.0, 8.0)
    log = TrialLog.at(path)
    assert log.recall({"C": 1.0}, 0) == (0.7, 2.0)
    assert log.recall({"C": 2.0}, 1) == (0.8, 3.0)
    assert log.recall({"C": 2.0}, 0) is log.recall({"C": 3.0}, 0) is None
    assert (log.began({"C": 1.0}), log.began({"C": 2.0})) == (True, False)
    assert log.spent == 9.0


def test_without_a_place_nothing_is_remembered() -> None:
    log = TrialLog.at(None)
    log.keep({"C": 1.0}, 0, 0.7, 2.0, 3.0)
    assert log.recall({"C": 1.0}, 0) is None
