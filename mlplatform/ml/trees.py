"""Gradient-boosted trees (LightGBM), stored as LightGBM's text. Imported only where trees are used."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.cores import spare_threads
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.space import Space, draw, free
from mlplatform.ml.trainer import Fit, Params, Scorer
from mlplatform.spec.training import LightGBMCandidate

__all__ = ["TreesScorer", "TreesTrainer"]

FILE = "model.txt"
FEW_ROWS = 1000
SPACE: Space = {
    "learning_rate": (0.03, 0.12, True),
    "num_leaves": (4, 32, True),
    "min_child_samples": (15, 150, True),
    "feature_fraction": (0.4, 1.0, False),
    "bagging_fraction": (0.5, 1.0, False),
    "lambda_l2": (0.1, 30.0, True),
    "scale_pos_weight": (1.0, 4.0, True),
}
"""Narrow on purpose: with few positives a short search over wide bounds finds what luck likes."""


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
        # Waking a thread pool costs more than it saves on few rows: 0.1 ms with one thread, several ms with all.
        threads = 1 if len(rows) < FEW_ROWS else spare_threads()
        return np.asarray(self.booster.predict(rows, num_threads=threads, **what))


@dataclass(frozen=True)
class TreesTrainer:
    """Early stopping on the tune rows; the same input gives the same text on any number of threads."""

    candidate: LightGBMCandidate
    encoding: Encoding
    metric: str

    def suggest(self, trial: Any) -> Params:
        """Shape, regularisation and class weight; what the declaration fixes is left alone."""
        return draw(trial, SPACE, self.candidate)

    def defaults(self) -> Params:
        """Small trees, which vary least where positives are few; the search must beat them."""
        start: Params = {
            "learning_rate": 0.05,
            "num_leaves": 8,
            "min_child_samples": 50,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "lambda_l2": 1.0,
            "scale_pos_weight": 1.0,
        }
        return free(self.candidate, start)

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Bin the rows once; each fit reuses the bins."""
        # Pre-filtering drops columns by min_child_samples, which the search changes under the same bins.
        binning = {**self._fixed(), **self._directions(), "feature_pre_filter": False, "num_threads": threads}
        columns = sorted(self.encoding.code_counts())
        learn = _dataset(train, binning, columns)
        watch = _dataset(tune, binning, columns, reference=learn)

        def fit(params: Params) -> Scorer:
            booster = lgb.train(
                {**binning, **params, **self.candidate.params},
                learn,
                num_boost_round=self.candidate.rounds,
                valid_sets=[watch],
                callbacks=[lgb.early_stopping(self.candidate.early_stopping_rounds, verbose=False)],
            )
            text = booster.model_to_string(num_iteration=booster.best_iteration)
            # The only word of the text that depends on the machine.
            return TreesScorer(lgb.Booster(model_str=text.replace(f"[num_threads: {threads}]", "[num_threads: 0]")))

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

    def _directions(self) -> dict[str, list[int]]:
        up, down = self.candidate.increasing, self.candidate.decreasing
        if not up and not down:
            return {}
        return {"monotone_constraints": [(name in up) - (name in down) for name in self.encoding.features]}


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
