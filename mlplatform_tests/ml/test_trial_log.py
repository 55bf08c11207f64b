"""A search that is killed goes on after its finished trials, and ends as if it had not been killed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.tasks import task_for
from mlplatform.ml.trainer import Fit, Params, Trainer, trainer_for
from mlplatform.ml.trial_log import TrialLog
from mlplatform.ml.tuning import Search, search
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
    """A search over one fold, and how many fits it took."""
    rows: pd.DataFrame = labelled_rows(1000)
    encoding = Encoding.learn(rows, ["rate", "night"], [])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    trainer = Counted(trainer_for(linear(), encoding, "auc", training().task))
    tuning = Tuning(trials=TRIALS, seconds=seconds)
    found = search(trainer, [(examples, examples)], tuning, task_for(training().task), "auc", progress, log)  # type: ignore[arg-type]
    return found, trainer.fits


def without_seconds(found: Search) -> list[tuple[int, Params, float]]:
    return [(trial.number, trial.params, trial.value) for trial in found.trials]


def test_a_search_that_was_killed_goes_on_after_its_finished_trials(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(log)])
    try:
        until = time.monotonic() + 60
        while not log.exists() or log.read_text().count("\n") < 4:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
    assert process.wait() == -9
    finished = log.read_text().count("\n")
    assert 4 <= finished < TRIALS

    resumed, fits = searched(log)
    whole, _ = searched(None)
    assert fits == TRIALS - finished
    assert without_seconds(resumed) == without_seconds(whole)
    assert resumed.params == whole.params


def test_what_the_killed_search_spent_counts_in_the_budget(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    searched(log)
    lines = log.read_text().splitlines()[:3]
    log.write_text("".join(json.dumps([*json.loads(line)[:2], 100.0]) + "\n" for line in lines))
    found, fits = searched(log, seconds=250)
    assert len(found.trials) == 3
    assert fits == 0


@pytest.mark.parametrize("torn", ["", "[", '["{}", 0.5', "null", "3", '{"a": 1}'])
def test_a_line_that_was_not_finished_is_left_out_and_does_no_harm_to_the_next(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.jsonl"
    TrialLog.at(path).keep({"C": 1.0}, 0.7, 2.0)
    with path.open("a") as file:
        file.write(torn)
    TrialLog.at(path).keep({"C": 2.0}, 0.8, 3.0)
    log = TrialLog.at(path)
    assert log.recall({"C": 1.0}) == (0.7, 2.0)
    assert log.recall({"C": 2.0}) == (0.8, 3.0)
    assert log.recall({"C": 3.0}) is None


def test_without_a_place_nothing_is_remembered() -> None:
    log = TrialLog.at(None)
    log.keep({"C": 1.0}, 0.7, 2.0)
    assert log.recall({"C": 1.0}) is None
