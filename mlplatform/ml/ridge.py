"""A linear model of an amount (ridge regression), stored as ONNX and explained exactly, as in `linear.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlplatform.ml.design import plain
from mlplatform.ml.examples import Examples
from mlplatform.ml.linear import LinearScorer, standardised
from mlplatform.ml.metrics import Floats
from mlplatform.ml.space import Space, draw, free, require_known
from mlplatform.ml.trainer import Fit, Params, Scorer
from mlplatform.spec.candidate import SklearnCandidate

__all__ = ["RidgeTrainer"]

SPACE: Space = {"alpha": (1e-3, 1e4, True)}


@dataclass(frozen=True)
class RidgeTrainer:
    """Median imputation, one-hot categories, standardisation, squared error with an L2 penalty.

    It gives the middle alone; its quantiles are those of its errors on the tune rows.
    """

    candidate: SklearnCandidate
    categories: Mapping[int, int]
    anchor: int | None
    """Column that the model starts from: it learns the difference."""

    def suggest(self, trial: Any) -> Params:
        """Strength of the penalty."""
        return draw(trial, SPACE, self.candidate)

    def defaults(self) -> Params:
        """scikit-learn's own."""
        return free(self.candidate, {"alpha": 1.0})

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Impute and standardise once. Nothing stops early, so `tune` is unused; `threads` too."""
        from sklearn.linear_model import Ridge

        del tune, threads
        require_known(self.candidate, ("alpha",))
        form, standard, mean, scale = standardised(train, self.categories)
        start = self._start(form.numeric, len(mean))
        amounts = train.labels - (standard * scale + mean) @ start

        def fit(params: Params) -> Scorer:
            model = Ridge(alpha=float({**params, **self.candidate.params}["alpha"]))
            model.fit(standard, amounts, sample_weight=train.weights)
            weights = model.coef_ / scale
            intercept = float(model.intercept_ - weights @ mean)
            both = plain(weights + start)
            return LinearScorer.of(replace(form, weights=both, intercept=intercept, background=plain(mean)))

        return fit

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """As the first time: nothing stops early."""
        del fitted
        return self.prepare(examples, examples, threads)(params)

    def _start(self, numeric: tuple[int, ...], columns: int) -> Floats:
        """Weight 1 on the anchor, else 0."""
        start = np.zeros(columns)
        if self.anchor is not None:
            start[numeric.index(self.anchor)] = 1.0
        return start
