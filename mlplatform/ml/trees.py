"""Gradient-boosted trees (LightGBM), stored as LightGBM's text. Imported only where trees are used."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.trainer import Fit, Params
from mlplatform.spec.training import LightGBMCandidate

__all__ = ["TreesScorer", "TreesTrainer"]

FILE = "model.txt"


@dataclass(frozen=True)
class TreesScorer:
    """A booster read from text, so that a stored model scores bit for bit like the one in memory."""

    booster: lgb.Booster
    kind: ClassVar[str] = "lightgbm"

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read `model.txt`; `stored` is unused, the text says it all."""
        del stored
        try:
            return cls(lgb.Booster(model_str=(folder / FILE).read_text(encoding="utf-8")))
        except (OSError, lgb.basic.LightGBMError) as error:
            raise ArtifactError(f"cannot read {folder / FILE}: {error}; package the model again") from error

    def log_odds(self, rows: Floats) -> Floats:
        """Sum of the leaves, [n]."""
        return self._predict(rows, raw_score=True)

    def contributions(self, rows: Floats) -> Floats:
        """TreeSHAP values (Lundberg et al., 2020) without the average, float64[n, f]."""
        return self._predict(rows, pred_contrib=True)[:, :-1]

    def save(self, folder: Path) -> dict[str, Any]:
        """Write LightGBM's text."""
        self.booster.save_model(folder / FILE)
        return {}

    def _predict(self, rows: Floats, **what: bool) -> Floats:
        # Waking a thread pool costs more than one row: 0.18 ms with one thread, several ms with all.
        threads = 1 if len(rows) == 1 else 0
        return np.asarray(self.booster.predict(rows, num_threads=threads, **what))


@dataclass(frozen=True)
class TreesTrainer:
    """Early stopping on the tune rows; the same input gives the same text on any number of threads."""

    candidate: LightGBMCandidate
    categories: Mapping[int, int]
    metric: str

    def suggest(self, trial: Any) -> Params:
        """Shape, regularisation and class weight; what the declaration fixes is left alone."""
        space = {
            "learning_rate": lambda: trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
            "num_leaves": lambda: trial.suggest_int("num_leaves", 8, 128, log=True),
            "min_child_samples": lambda: trial.suggest_int("min_child_samples", 10, 300, log=True),
            "feature_fraction": lambda: trial.suggest_float("feature_fraction", 0.4, 1.0),
            "bagging_fraction": lambda: trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "lambda_l2": lambda: trial.suggest_float("lambda_l2", 1e-3, 100.0, log=True),
            "scale_pos_weight": lambda: trial.suggest_float("scale_pos_weight", 1.0, 30.0, log=True),
        }
        return {name: draw() for name, draw in space.items() if name not in self.candidate.params}

    def defaults(self) -> Params:
        """A cautious start; the search must beat it."""
        start: Params = {
            "learning_rate": 0.05,
            "num_leaves": 31,
            "min_child_samples": 50,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "lambda_l2": 1.0,
            "scale_pos_weight": 1.0,
        }
        return {name: value for name, value in start.items() if name not in self.candidate.params}

    def prepare(self, train: Examples, tune: Examples) -> Fit:
        """Bin the rows once; each fit reuses the bins."""
        # Pre-filtering drops columns by min_child_samples, which the search changes under the same bins.
        binning = {**self._fixed(), "feature_pre_filter": False}
        columns = sorted(self.categories)
        learn = _dataset(train, binning, columns)
        watch = _dataset(tune, binning, columns, reference=learn)

        def fit(params: Params) -> TreesScorer:
            booster = lgb.train(
                {**binning, **params, **self.candidate.params},
                learn,
                num_boost_round=self.candidate.rounds,
                valid_sets=[watch],
                callbacks=[lgb.early_stopping(self.candidate.early_stopping_rounds, verbose=False)],
            )
            return TreesScorer(lgb.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration)))

        return fit

    def _fixed(self) -> dict[str, float | int | str | bool]:
        return {
            "objective": "binary",
            "metric": self.metric,
            "bagging_freq": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self.candidate.seed,
            "verbosity": -1,
        }


def _dataset(
    examples: Examples, params: dict[str, Any], categorical: list[int], reference: lgb.Dataset | None = None
) -> lgb.Dataset:
    dataset = lgb.Dataset(
        examples.rows,
        examples.labels,
        weight=examples.weights,
        params=params,
        categorical_feature=categorical,
        reference=reference,
    )
    return dataset.construct()
