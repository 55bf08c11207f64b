"""Random forests and histogram boosting of scikit-learn, stored as ONNX. Imported only where they are trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from threadpoolctl import threadpool_limits

from mlplatform.ml.design import Design, typical_row
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_scorer import OnnxScorer
from mlplatform.ml.space import Space, draw, free, require_known
from mlplatform.ml.trainer import Fit, Params, Scorer
from mlplatform.ml.tree_form import boosted_to_onnx, forest_to_onnx, trees_of_boosting, trees_of_forest
from mlplatform.spec.candidate import SklearnCandidate

__all__ = ["BoostingTrainer", "ForestTrainer"]

FOREST_SPACE: Space = {
    "max_depth": (4, 16, False),
    "min_samples_leaf": (2, 100, True),
    "max_features": (0.2, 1.0, False),
    "positive_weight": (1.0, 20.0, True),
}
BOOSTING_SPACE: Space = {
    "learning_rate": (0.03, 0.2, True),
    "max_leaf_nodes": (4, 32, True),
    "min_samples_leaf": (15, 150, True),
    "max_features": (0.4, 1.0, False),
    "l2_regularization": (0.1, 30.0, True),
    "positive_weight": (1.0, 4.0, True),
}
TREE_ROWS = 50_000
"""Most rows that one tree of a forest draws: with all of 270,000 a forest took six minutes on one core."""
ROUNDS, PATIENCE = 500, 30
OURS = {
    *(
        "random_state",
        "n_jobs",
        "bootstrap",
        "warm_start",
        "verbose",
        "early_stopping",
        "validation_fraction",
        "scoring",
    ),
    # Their meaning lies in classes or columns that only this file sees.
    *("loss", "quantile"),
    *("class_weight", "categorical_features", "monotonic_cst", "interaction_cst"),
}
"""Parameters of the estimators that a declaration may not fix."""


@dataclass(frozen=True)
class ForestTrainer:
    """Median imputation, one-hot categories, 200 trees unless `params` says otherwise."""

    candidate: SklearnCandidate
    categories: Mapping[int, int]

    def suggest(self, trial: Any) -> Params:
        """Size of the trees, how different they are, and the weight of positives."""
        return draw(trial, FOREST_SPACE, self.candidate)

    def defaults(self) -> Params:
        """Trees that do not learn single rows by heart."""
        start = {"max_depth": 10, "min_samples_leaf": 10, "max_features": 0.4, "positive_weight": 1.0}
        return free(self.candidate, start)

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Fill and encode once. Nothing stops early, so `tune` is unused."""
        del tune
        require_known(self.candidate, _allowed(RandomForestClassifier))
        design = Design.learn(train.rows, self.categories)
        matrix, background = design.design(train.rows), typical_row(train.rows, self.categories)

        def fit(params: Params) -> Scorer:
            chosen, weights = _chosen(self.candidate, params, train)
            fixed = {
                "n_estimators": 200,
                "max_samples": min(TREE_ROWS, len(train)),
                "random_state": self.candidate.seed,
                "n_jobs": threads,
            }
            forest = RandomForestClassifier(**{**fixed, **chosen}).fit(matrix, train.labels, weights)
            return OnnxScorer.of(forest_to_onnx(trees_of_forest(forest), design), background)

        return fit

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """As the first time: nothing stops early."""
        del fitted
        return self.prepare(examples, examples, threads)(params)


@dataclass(frozen=True)
class BoostingTrainer:
    """Missing values stay missing, one-hot categories; stops early on the tune rows by its own loss.

    Not by the gates' metric, for which scikit-learn sorts all watched rows anew after each tree.
    """

    candidate: SklearnCandidate
    categories: Mapping[int, int]
    level: float | None = None
    """The quantile that is learned; None: classes."""

    def suggest(self, trial: Any) -> Params:
        """Shape, regularisation and, of classes, the weight of positives."""
        return draw(trial, self._space(), self.candidate)

    def defaults(self) -> Params:
        """Those of the LightGBM trees, by scikit-learn's names."""
        start = {
            "learning_rate": 0.05,
            "max_leaf_nodes": 8,
            "min_samples_leaf": 50,
            "max_features": 0.8,
            "l2_regularization": 1.0,
            "positive_weight": 1.0,
        }
        return free(self.candidate, {name: value for name, value in start.items() if name in self._space()})

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Encode once."""
        estimator = self._estimator()
        require_known(self.candidate, _allowed(estimator) - ({"positive_weight"} if self.level is not None else set()))
        design = Design.learn(train.rows, self.categories, fill=False)
        matrix, watched = design.design(train.rows), design.design(tune.rows)
        background = typical_row(train.rows, self.categories)
        fixed = {
            "max_iter": ROUNDS,
            "early_stopping": True,
            "n_iter_no_change": PATIENCE,
            "scoring": "loss",
            "random_state": self.candidate.seed,
        }

        def fit(params: Params) -> Scorer:
            chosen, weights = _chosen(self.candidate, params, train)
            _, watched_weights = _chosen(self.candidate, params, tune)
            model = estimator(**{**fixed, **chosen})
            # OpenMP's number of threads is a setting of the calling thread, so folds do not disturb each other.
            with threadpool_limits(threads, user_api="openmp"):
                model.fit(
                    matrix,
                    train.labels,
                    weights,
                    X_val=watched,
                    y_val=tune.labels,
                    sample_weight_val=watched_weights,
                )
            # The first score is that of no tree; scikit-learn keeps the trees after the best one, which only cost time.
            rounds = max(1, int(np.argmax(model.validation_score_)))
            baseline = float(np.ravel(model._baseline_prediction)[0])
            return OnnxScorer.of(boosted_to_onnx(trees_of_boosting(model, rounds), baseline, design), background)

        return fit

    def _space(self) -> Space:
        if self.level is None:
            return BOOSTING_SPACE
        return {name: bounds for name, bounds in BOOSTING_SPACE.items() if name != "positive_weight"}

    def _estimator(self) -> Callable[..., Any]:
        if self.level is None:
            classifier: Callable[..., Any] = HistGradientBoostingClassifier
            return classifier
        return partial(HistGradientBoostingRegressor, loss="quantile", quantile=self.level)


def _allowed(estimator: Callable[[], Any]) -> set[str]:
    return {*estimator().get_params(), "positive_weight"} - OURS


def _chosen(candidate: SklearnCandidate, params: Params, examples: Examples) -> tuple[dict[str, Any], Floats]:
    """The estimator's parameters, and the weight of each row [n]."""
    chosen = {**params, **candidate.params}
    weights = np.ones(len(examples)) if examples.weights is None else examples.weights
    positive_weight = float(chosen.pop("positive_weight", 1.0))
    return chosen, np.where(examples.labels == 1, positive_weight, 1.0) * weights
