from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats, rank, ranking_metric
from mlplatform.ml.tasks import task_for
from mlplatform.ml.trainer import Fit, Params
from mlplatform.ml.tuning import search
from mlplatform.spec.candidate import Tuning
from mlplatform_tests.ml.data import training

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
