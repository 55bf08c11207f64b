"""Quantiles of an amount by gradient-boosted trees (LightGBM), one booster per level, stored as LightGBM's text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.space import Space, draw, free
from mlplatform.ml.trainer import Fit, Params, Scorer
from mlplatform.ml.trees import dataset, directions, predict, repeatable, stored
from mlplatform.spec.candidate import LightGBMCandidate
from mlplatform.spec.task import ForecastTask

__all__ = ["QuantileTreesScorer", "QuantileTreesTrainer"]

SPACE: Space = {
    "learning_rate": (0.02, 0.15, True),
    "num_leaves": (7, 63, True),
    "min_child_samples": (10, 200, True),
    "feature_fraction": (0.4, 1.0, False),
    "bagging_fraction": (0.5, 1.0, False),
    "lambda_l2": (0.1, 30.0, True),
}
START: Params = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 40,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "lambda_l2": 1.0,
}


@dataclass(frozen=True)
class QuantileTreesScorer:
    """One booster per level; each learned the difference to the anchor, where there is one."""

    boosters: Mapping[float, lgb.Booster]
    anchor: int | None
    """Column of the rows that is added to each answer."""
    kind: ClassVar[str] = "lightgbm_quantiles"

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read the text of every level of model.json."""
        levels, path = [float(level) for level in stored["levels"]], folder
        try:
            texts = {level: (path / _file(level)).read_text(encoding="utf-8") for level in levels}
            return cls({level: lgb.Booster(model_str=text) for level, text in texts.items()}, stored["anchor"])
        except (OSError, lgb.basic.LightGBMError) as error:
            raise ArtifactError(f"cannot read the levels of {folder}: {error}; package the model again") from error

    def raw(self, rows: Floats) -> Floats:
        """Quantiles, [n, levels]; they may cross."""
        answers = np.column_stack([predict(booster, rows) for booster in self.boosters.values()])
        return answers if self.anchor is None else answers + _known(rows[:, self.anchor])[:, None]

    def contributions(self, rows: Floats) -> Floats:
        """TreeSHAP values of the median; the anchor's own is its distance to the mean of the rows, float64[n, f]."""
        parts = predict(self.boosters[0.5], rows, pred_contrib=True)[:, :-1]
        if self.anchor is not None:
            parts[:, self.anchor] += _known(rows[:, self.anchor])
        return parts

    def save(self, folder: Path) -> dict[str, Any]:
        """Write a text per level."""
        for level, booster in self.boosters.items():
            booster.save_model(folder / _file(level))
        return {"levels": list(self.boosters), "anchor": self.anchor}


@dataclass(frozen=True)
class QuantileTreesTrainer:
    """Pinball loss of each level (Koenker and Bassett, 1978); early stopping on the tune rows by the same loss."""

    candidate: LightGBMCandidate
    encoding: Encoding
    task: ForecastTask

    def suggest(self, trial: Any) -> Params:
        """Shape and regularisation, the same for all levels."""
        return draw(trial, SPACE, self.candidate)

    def defaults(self) -> Params:
        """LightGBM's own shape, with the rows and columns sampled."""
        return free(self.candidate, START)

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Bin the rows once; levels and fits reuse the bins."""
        fixed = {**repeatable(self.candidate.seed), **directions(self.candidate, self.encoding)}
        binning: dict[str, Any] = {**fixed, "feature_pre_filter": False, "num_threads": threads}
        columns, anchor = sorted(self.encoding.code_counts()), self._anchor()
        learn = dataset(_less_anchor(train, anchor), binning, columns)
        watch = dataset(_less_anchor(tune, anchor), binning, columns, reference=learn)

        def booster(level: float, params: Params) -> lgb.Booster:
            found = lgb.train(
                {
                    **binning,
                    **params,
                    **self.candidate.params,
                    "objective": "quantile",
                    "metric": "quantile",
                    "alpha": level,
                },
                learn,
                num_boost_round=self.candidate.rounds,
                valid_sets=[watch],
                callbacks=[lgb.early_stopping(self.candidate.early_stopping_rounds, verbose=False)],
            )
            return stored(found, threads)

        def fit(params: Params) -> Scorer:
            return QuantileTreesScorer({level: booster(level, params) for level in self.task.quantiles}, anchor)

        return fit

    def _anchor(self) -> int | None:
        return None if self.task.anchor is None else self.encoding.features.index(self.task.anchor)


def _less_anchor(examples: Examples, anchor: int | None) -> Examples:
    if anchor is None:
        return examples
    return replace(examples, labels=examples.labels - _known(examples.rows[:, anchor]))


def _known(anchor: Floats) -> Floats:
    """A row without an anchor starts from 0."""
    return np.nan_to_num(anchor)


def _file(level: float) -> str:
    return f"model-{level:g}.txt"
