"""A model that sees some of the features only. Outside of it rows and contributions are those of all features."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.trainer import Fit, Params, Scorer, Trainer, refitting

__all__ = ["SubsetScorer", "SubsetTrainer", "without"]


def without(encoding: Encoding, ignored: list[str]) -> tuple[Encoding, tuple[int, ...]]:
    """The encoding of what is left, and its columns among all."""
    left = tuple(name for name in encoding.features if name not in ignored)
    categories = {name: values for name, values in encoding.categories.items() if name in left}
    return Encoding(left, categories), tuple(encoding.features.index(name) for name in left)


@dataclass(frozen=True)
class SubsetScorer:
    """Hands on the columns that the inner scorer sees; the others contribute nothing."""

    seen: tuple[int, ...]
    inner: Scorer

    @property
    def kind(self) -> str:
        """How the inner scorer is stored."""
        return self.inner.kind

    def raw(self, rows: Floats) -> Floats:
        """As the inner scorer's."""
        return self.inner.raw(rows[:, self.seen])

    def contributions(self, rows: Floats) -> Floats:
        """float64[n, f], 0 where a feature is not seen."""
        parts = np.zeros(rows.shape)
        parts[:, self.seen] = self.inner.contributions(rows[:, self.seen])
        return parts

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the inner scorer; return the columns beside what it returns."""
        return {"seen": list(self.seen), **self.inner.save(folder)}


@dataclass(frozen=True)
class SubsetTrainer:
    """Trains the inner trainer on the columns that it sees."""

    seen: tuple[int, ...]
    inner: Trainer

    def suggest(self, trial: Any) -> Params:
        """As the inner trainer."""
        return self.inner.suggest(trial)

    def defaults(self) -> Params:
        """As the inner trainer."""
        return self.inner.defaults()

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """As the inner trainer, of fewer columns."""
        learned, watched = (replace(part, rows=part.rows[:, self.seen]) for part in (train, tune))
        fit = self.inner.prepare(learned, watched, threads)
        return lambda params: SubsetScorer(self.seen, fit(params))

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """As the inner trainer, of fewer columns."""
        assert isinstance(fitted, SubsetScorer)
        learned = replace(examples, rows=examples.rows[:, self.seen])
        return SubsetScorer(self.seen, refitting(self.inner).refit(params, fitted.inner, learned, threads))
