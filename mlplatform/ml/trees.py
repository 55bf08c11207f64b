"""Gradient-boosted trees (LightGBM), stored as LightGBM's text. Imported only where trees are trained; what is stored
is read by `stored_trees.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import lightgbm as lgb
import numpy as np

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import QUERY, Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.space import Space, draw, free
from mlplatform.ml.stored_trees import FILE, threads_for

if TYPE_CHECKING:
    from mlplatform.ml.trainer import Fit, Goal, Params, Scorer
    from mlplatform.spec.candidate import LightGBMCandidate

__all__ = ["TreesScorer", "TreesTrainer"]

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
OF_BINS = {"max_bin", "min_data_in_bin", "bin_construct_sample_cnt"}
"""Parameters that the bins are made by: a fit cannot change them any more."""
ORDER_SPACE: Space = {name: bounds for name, bounds in SPACE.items() if name != "scale_pos_weight"}
AMOUNT_SPACE: Space = {**ORDER_SPACE, "num_leaves": (7, 63, True), "min_child_samples": (10, 200, True)}
START: Params = {
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_child_samples": 50,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "lambda_l2": 1.0,
    "scale_pos_weight": 1.0,
}


@dataclass(frozen=True)
class TreesScorer:
    """A booster read from text, so that a stored model scores bit for bit like the one in memory."""

    booster: lgb.Booster
    kind: ClassVar[str] = "lightgbm"

    def raw(self, rows: Floats) -> Floats:
        """Sum of the leaves, [n]."""
        return _predict(self.booster, rows, raw_score=True)

    def contributions(self, rows: Floats) -> Floats:
        """TreeSHAP values (Lundberg et al., 2020) without the average, float64[n, f]."""
        return _predict(self.booster, rows, pred_contrib=True)[:, :-1]

    @property
    def text(self) -> str:
        """As LightGBM writes it."""
        return str(self.booster.model_to_string())

    def save(self, folder: Path) -> dict[str, Any]:
        """Write LightGBM's text."""
        self.booster.save_model(folder / FILE)
        return {}


def _predict(booster: lgb.Booster, rows: Floats, **what: bool) -> Floats:
    """What LightGBM's `predict` gives for rows float64[n, f]."""
    return np.asarray(booster.predict(rows, num_threads=threads_for(rows), **what))


def _directions(candidate: LightGBMCandidate, encoding: Encoding) -> dict[str, list[int]]:
    """The declared directions as LightGBM takes them."""
    up, down = candidate.increasing, candidate.decreasing
    if not up and not down:
        return {}
    return {"monotone_constraints": [(name in up) - (name in down) for name in encoding.features]}


def _repeatable(seed: int) -> dict[str, float | int | str | bool]:
    """Parameters with which the same input gives the same text on any number of threads."""
    return {"bagging_freq": 1, "deterministic": True, "force_row_wise": True, "seed": seed, "verbosity": -1}


def _stored(booster: lgb.Booster, threads: int) -> lgb.Booster:
    """A booster cut to its best iteration and read back from its text."""
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    # The only word of the text that depends on the machine.
    return lgb.Booster(model_str=text.replace(f"[num_threads: {threads}]", "[num_threads: 0]"))


@dataclass(frozen=True)
class TreesTrainer:
    """Log loss for classes, LambdaRank (Burges, 2010) for orders, pinball loss for quantiles.

    Early stopping on the tune rows.
    """

    candidate: LightGBMCandidate
    encoding: Encoding
    goal: Goal

    def suggest(self, trial: Any) -> Params:
        """Shape, regularisation and class weight; what the declaration fixes is left alone."""
        return draw(trial, self._space(), self.candidate)

    def defaults(self) -> Params:
        """Small trees, which vary least where positives are few, larger ones for amounts; the search must beat them."""
        start = START if self.goal.level is None else {**START, "num_leaves": 31, "min_child_samples": 40}
        space = self._space()
        return free(self.candidate, {name: value for name, value in start.items() if name in space})

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Bin the rows once; each fit reuses the bins."""
        binning = self._binning(threads)
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
            return TreesScorer(_stored(booster, threads))

        return fit

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """As many trees as the first fit kept."""
        assert isinstance(fitted, TreesScorer)
        binning = self._binning(threads)
        learn = _dataset(examples, binning, sorted(self.encoding.code_counts()))
        rounds = max(1, fitted.booster.num_trees())
        booster = lgb.train({**binning, **params, **self.candidate.params}, learn, num_boost_round=rounds)
        return TreesScorer(_stored(booster, threads))

    def _binning(self, threads: int) -> dict[str, Any]:
        # Pre-filtering drops columns by min_child_samples, which the search changes under the same bins.
        fixed = {**self._objective(), **_repeatable(self.candidate.seed), **_directions(self.candidate, self.encoding)}
        declared = {name: value for name, value in self.candidate.params.items() if name in OF_BINS}
        return {**fixed, **declared, "feature_pre_filter": False, "num_threads": threads}

    def _space(self) -> Space:
        """Only classes have a class weight."""
        if self.goal.level is not None:
            return AMOUNT_SPACE
        return SPACE if self.goal.first_places is None else ORDER_SPACE

    def _objective(self) -> dict[str, Any]:
        if self.goal.level is not None:
            return {"objective": "quantile", "metric": "quantile", "alpha": self.goal.level}
        if (places := self.goal.first_places) is not None:
            # Twice as many places are learned from as count: what stands just behind must be able to move up.
            return {
                "objective": "lambdarank",
                "metric": "ndcg",
                "eval_at": [places],
                "lambdarank_truncation_level": 2 * places,
            }
        return {"objective": "binary", "metric": self.goal.metric}


def _dataset(
    examples: Examples, params: dict[str, Any], categorical: list[int], reference: lgb.Dataset | None = None
) -> lgb.Dataset:
    """The rows binned; those of one request side by side, as LightGBM wants them."""
    queries = examples.aside.get(QUERY)
    if queries is not None:
        examples = examples.at(np.argsort(queries, kind="stable"))
    made = lgb.Dataset(
        examples.rows,
        examples.labels,
        weight=examples.weights,
        group=None if queries is None else np.unique(queries, return_counts=True)[1],
        params=params,
        categorical_feature=categorical,
        reference=reference,
    )
    return made.construct()
