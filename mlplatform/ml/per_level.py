"""Quantiles of an amount: one model per level, whatever learns it, and the column that all of them start from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.trainer import Fit, Params, Scorer, Trainer, refitting

__all__ = ["PerLevelScorer", "PerLevelTrainer"]

MEDIAN = 0.5


@dataclass(frozen=True)
class PerLevelScorer:
    """The scorers of all levels; each learned the difference to the anchor, where there is one."""

    scorers: Mapping[float, Scorer]
    anchor: int | None
    """Column of the rows that is added to each answer."""
    kind: ClassVar[str] = "per_level"

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any], open_scorer: Callable[..., Scorer]) -> Self:
        """Read each level's folder; `open_scorer` (folder, description) opens one."""
        levels = {float(level): description for level, description in stored["levels"].items()}
        scorers = {level: open_scorer(folder / _folder(level), about) for level, about in levels.items()}
        return cls(scorers, stored["anchor"])

    def raw(self, rows: Floats) -> Floats:
        """Quantiles, [n, levels]; they may cross."""
        answers = np.column_stack([scorer.raw(rows) for scorer in self.scorers.values()])
        return answers if self.anchor is None else answers + _known(rows[:, self.anchor])[:, None]

    def contributions(self, rows: Floats) -> Floats:
        """Those to the median, float64[n, f]; the anchor itself counts with all of its value."""
        parts = self.scorers[MEDIAN].contributions(rows)
        if self.anchor is not None:
            parts[:, self.anchor] += _known(rows[:, self.anchor])
        return parts

    def save(self, folder: Path) -> dict[str, Any]:
        """Write a folder per level; return what opens them."""
        described = {}
        for level, scorer in self.scorers.items():
            (folder / _folder(level)).mkdir(parents=True, exist_ok=True)
            described[str(level)] = {"kind": scorer.kind, **scorer.save(folder / _folder(level))}
        return {"levels": described, "anchor": self.anchor}


@dataclass(frozen=True)
class PerLevelTrainer:
    """The same parameters for every level's trainer."""

    trainers: Mapping[float, Trainer]
    anchor: int | None

    def suggest(self, trial: Any) -> Params:
        """As any of them."""
        return self._any().suggest(trial)

    def defaults(self) -> Params:
        """As any of them."""
        return self._any().defaults()

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Each on the labels less the anchor."""
        learned, watched = (_less_anchor(part, self.anchor) for part in (train, tune))
        fits = {level: trainer.prepare(learned, watched, threads) for level, trainer in self.trainers.items()}
        return lambda params: PerLevelScorer({level: fit(params) for level, fit in fits.items()}, self.anchor)

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """Each level by its own trainer."""
        assert isinstance(fitted, PerLevelScorer)
        learned = _less_anchor(examples, self.anchor)
        again = {
            level: refitting(trainer).refit(params, fitted.scorers[level], learned, threads)
            for level, trainer in self.trainers.items()
        }
        return PerLevelScorer(again, self.anchor)

    def _any(self) -> Trainer:
        return next(iter(self.trainers.values()))


def _less_anchor(examples: Examples, anchor: int | None) -> Examples:
    if anchor is None:
        return examples
    return replace(examples, labels=examples.labels - _known(examples.rows[:, anchor]))


def _known(anchor: Floats) -> Floats:
    """A row without an anchor starts from 0."""
    return np.nan_to_num(anchor)


def _folder(level: float) -> str:
    return f"level-{level:g}"
