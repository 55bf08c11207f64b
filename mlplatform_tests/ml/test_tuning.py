from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlplatform.ml import race
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats, rank, ranking_metric
from mlplatform.ml.race import BATCH, WHOLE
from mlplatform.ml.tasks import task_for
from mlplatform.ml.trainer import Fit, Params, trainer_for
from mlplatform.ml.tuning import Search, search
from mlplatform.spec.candidate import Tuning
from mlplatform_tests.ml.conftest import EXTRAS
from mlplatform_tests.ml.data import CANDIDATES, labelled_rows, training, trees

BINARY = task_for(training().task)


@dataclass
class FirstColumn:
    """A trainer whose model is the first column, whatever it is given."""

    def suggest(self, trial: Any) -> Params:
        return {"nothing": trial.suggest_int("nothing", 0, 1)}

    def defaults(self) -> Params:
        return {"nothing": 0}

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        del train, tune, threads
        return lambda params: self  # type: ignore[return-value, arg-type]

    def raw(self, rows: Floats) -> Floats:
        return rows[:, 0]


@pytest.mark.parametrize("metric", ["auc", "average_precision"])
def test_a_trial_is_worth_what_its_weighted_rows_say(metric: str) -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 300)
    rows = (labels + random.normal(size=300))[:, None]
    counts = random.integers(1, 4, 300)
    fold = Examples(rows, labels, counts.astype(float))
    found = search(FirstColumn(), [(fold, fold)], Tuning(trials=1, seconds=5), BINARY, metric)
    repeated = ranking_metric(metric, rank(np.repeat(labels, counts), np.repeat(rows[:, 0], counts)))
    assert found.trials[0].value == pytest.approx(repeated)


@dataclass
class Known:
    """A trainer whose model of a point is worth that point, and in which fold which points were fitted."""

    fitted: list[tuple[int, float]]
    worst: float = 0.0

    def suggest(self, trial: Any) -> Params:
        return {"worth": trial.suggest_float("worth", self.worst, 1.0)}

    def defaults(self) -> Params:
        return {"worth": 0.5}

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        del tune, threads
        fold = int(train.rows[0, 0])

        def fit(params: Params) -> "Noisy":
            self.fitted.append((fold, float(params["worth"])))
            return Noisy(float(params["worth"]))

        return fit  # type: ignore[return-value]


@dataclass(frozen=True)
class Noisy:
    """Scores that follow the labels the better, the more it is worth."""

    worth: float

    def raw(self, rows: Floats) -> Floats:
        return self.worth * rows[:, 1] + rows[:, 2]


def known_folds(number: int = 3) -> list[tuple[Examples, Examples]]:
    """Column 0: the fold; 1: the label; 2: noise."""
    random = np.random.default_rng(0)
    folds = []
    for fold in range(number):
        labels = random.integers(0, 2, 400)
        rows = np.column_stack([np.full(400, fold), labels, random.normal(size=400)])
        folds.append((Examples(rows, labels), Examples(rows, labels)))
    return folds


def raced(trials: int = 30, pruning: bool = True, earlier: Params | None = None) -> tuple[Search, Known]:
    trainer = Known([])
    budget = Tuning(trials=trials, seconds=60, pruning=pruning)
    return search(trainer, known_folds(), budget, BINARY, "auc", earlier=earlier), trainer


def test_a_trial_that_falls_behind_is_given_up_and_the_best_is_found_with_fewer_fits() -> None:
    (found, trainer), (whole, patient) = raced(), raced(pruning=False)
    assert 0.4 < len(trainer.fitted) / len(patient.fitted) < 0.9
    assert max(float(trial.params["worth"]) for trial in found.trials) == found.params["worth"]
    assert found.params["worth"] == pytest.approx(whole.params["worth"], abs=0.05)


def test_a_trial_is_given_up_when_it_lies_below_the_median_of_those_finished_before_its_batch() -> None:
    found, _ = raced()
    for trial in found.trials:
        batch = 0 if trial.number < WHOLE else WHOLE + (trial.number - WHOLE) // BATCH * BATCH
        before = [each.folds for each in found.trials[:batch] if not each.pruned]
        behind = [
            np.mean(trial.folds[:seen]) < np.median([np.mean(folds[:seen]) for folds in before])
            for seen in range(1, 3)
            if before and seen <= len(trial.folds)
        ]
        # The best step counts: who was ahead once is not given up later.
        assert trial.pruned == bool(behind and behind[0])
        assert trial.value == np.mean(trial.folds)


def test_what_was_given_up_is_never_the_answer_and_the_first_trials_see_all_folds() -> None:
    found, _ = raced()
    finished = [trial for trial in found.trials if not trial.pruned]
    assert found.params == max(finished, key=lambda trial: trial.value).params
    assert [len(trial.folds) for trial in found.trials[:WHOLE]] == [3] * WHOLE
    assert len(finished) < len(found.trials)


def test_without_pruning_every_trial_sees_all_folds() -> None:
    found, trainer = raced(pruning=False)
    assert {len(trial.folds) for trial in found.trials} == {3}
    assert len(trainer.fitted) == 90


def test_the_parameters_of_an_earlier_model_are_tried_right_after_the_defaults() -> None:
    found, _ = raced(trials=3, earlier={"worth": 0.9})
    assert [trial.params["worth"] for trial in found.trials[:2]] == [0.5, 0.9]
    assert found.params["worth"] >= 0.9


@pytest.mark.parametrize("cores", [1, 3])
def test_trees_are_searched_alike_on_any_number_of_cores(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = labelled_rows(3000)
    encoding = Encoding.learn(rows, ["amount", "rate", "night", "channel"], ["channel"])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    thirds = [examples.at(np.arange(3000) % 3 == part) for part in range(3)]
    folds = [(thirds[part], thirds[part - 1]) for part in range(3)]
    trainer = trainer_for(trees(rounds=30, increasing=["rate"]), encoding, "auc", training().task)
    found = []
    for number in (cores, 2):
        monkeypatch.setattr(race, "available_cores", lambda number=number: number)
        found.append(search(trainer, folds, Tuning(trials=14, seconds=600), BINARY, "auc"))
    assert [(t.params, t.folds) for t in found[0].trials] == [(t.params, t.folds) for t in found[1].trials]


@pytest.mark.parametrize("name", ["torch", "keras"])
def test_networks_are_searched_alike_on_any_number_of_cores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(EXTRAS[name], reason=f"the extra {name} is not installed")
    rows = labelled_rows(1500)
    encoding = Encoding.learn(rows, ["amount", "rate", "channel"], ["channel"])
    examples = Examples(encoding.matrix(rows), rows["label"].to_numpy())
    halves = [examples.at(np.arange(1500) % 2 == part) for part in range(2)]
    trainer = trainer_for(CANDIDATES[name](epochs=4), encoding, "auc", training().task)
    found = []
    for number in (1, 4):
        monkeypatch.setattr(race, "available_cores", lambda number=number: number)
        found.append(search(trainer, [tuple(halves), tuple(halves[::-1])], Tuning(trials=6), BINARY, "auc"))  # type: ignore[list-item]
    assert [(t.params, t.folds) for t in found[0].trials] == [(t.params, t.folds) for t in found[1].trials]
