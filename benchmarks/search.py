"""`python -m benchmarks.search [--json]`: what pruning and a warm start are worth to a search of equal seconds.

The LightGBM of the fraud use case on the simulator's draw of seed 0, in the folds of its train part as of 15 August
2018. Each search gets `--seconds`; the variants take turns, for each of `--seeds` seeds of the search.

- plain: every trial sees all folds; pruned: a trial that falls behind is given up; warm: pruned, and begun with what a
  search of `--trials` trials had found a week earlier.
- Columns: trials and how many of them were given up; the best mean average precision over the folds; the best among the
  trials that the sampler drew, so without the defaults and the warm start. Means over the seeds.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import yaml

from benchmarks.fraud_quality import DEFS
from benchmarks.trainers import AS_OF, fraud_rows
from mlplatform.ml.examples import Examples
from mlplatform.ml.folds import cut_folds
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import LabelledRows
from mlplatform.ml.trainer import Params, Trainer, trainer_for
from mlplatform.ml.tuning import Search, search
from mlplatform.spec import Training, Tuning

EARLIER = AS_OF - pd.Timedelta(days=7)
MANY = 100_000
"""Trials: the seconds end the search."""
VARIANTS: Mapping[str, tuple[bool, bool]] = {"plain": (False, False), "pruned": (True, False), "warm": (True, True)}
"""Name -> (pruning, warm start)."""


@dataclass(frozen=True)
class Row:
    """One line of the table: means over the seeds."""

    variant: str
    trials: float
    pruned: float
    best: float
    best_drawn: float


@dataclass(frozen=True)
class _Rows:
    """What a search is given."""

    trainer: Trainer
    folds: Sequence[tuple[Examples, Examples]]
    training: Training

    def search(self, tuning: Tuning, earlier: Params | None = None) -> Search:
        task = task_for(self.training.task)
        return search(self.trainer, self.folds, tuning, task, self.training.metric, earlier=earlier)


def main() -> None:
    options = _options()
    training = Training.model_validate(yaml.safe_load(DEFS.read_text())["attributes"]["training"])
    frame = fraud_rows(training)
    before = _as_of(frame, training, EARLIER).search(Tuning(trials=options.trials, seconds=3600)).params
    today = _as_of(frame, training, AS_OF)
    found: dict[str, list[Search]] = {name: [] for name in VARIANTS}
    for seed in range(options.seeds):
        for name, (pruning, warm) in VARIANTS.items():
            tuning = Tuning(trials=MANY, seconds=options.seconds, seed=seed, pruning=pruning)
            found[name].append(today.search(tuning, before if warm else None))
    rows = [_row(name, searches) for name, searches in found.items()]
    print(f"the defaults: {found['plain'][0].trials[0].value:.4f}; {options.seconds:g} s each, {options.seeds} seeds\n")
    print(f"{'variant':<10}{'trials':>8}{'given up':>10}{'best':>9}{'best drawn':>12}")
    for row in rows:
        print(f"{row.variant:<10}{row.trials:>8.1f}{row.pruned:>10.1f}{row.best:>9.4f}{row.best_drawn:>12.4f}")
    if options.json:
        print(json.dumps({"seconds": options.seconds, "variants": [asdict(row) for row in rows]}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=12, help="of the search a week earlier")
    return parser.parse_args()


def _as_of(frame: pd.DataFrame, training: Training, as_of: pd.Timestamp) -> _Rows:
    rows = LabelledRows.of(frame, training, "event_time", as_of)
    cut = cut_folds(rows.frame, training.split, "event_time", training.label, as_of)
    folds = [(rows.examples.at(fold.train), rows.examples.at(fold.validation)) for fold in cut]
    candidate = next(c for c in training.candidates if c.kind == "lightgbm")
    return _Rows(trainer_for(candidate, rows.encoding, training.metric, training.task), folds, training)


def _row(name: str, searches: Sequence[Search]) -> Row:
    given = 2 if name == "warm" else 1
    whole = [[trial for trial in found.trials if not trial.pruned] for found in searches]
    drawn = [[trial.value for trial in trials if trial.number >= given] for trials in whole]
    return Row(
        name,
        float(np.mean([len(found.trials) for found in searches])),
        float(np.mean([sum(trial.pruned for trial in found.trials) for found in searches])),
        float(np.mean([max(trial.value for trial in trials) for trials in whole])),
        float(np.mean([max(values, default=np.nan) for values in drawn])),
    )


if __name__ == "__main__":
    main()
