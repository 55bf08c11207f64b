"""Any trainer behind cleaning policies: they are learned anew from whatever rows it learns from, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplatform.ml.cleaning import STORED, Cleaning
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.trainer import Fit, Params, Scorer, Trainer, refitting

if TYPE_CHECKING:
    from mlplatform.spec.cleaning import CleaningPolicy

__all__ = ["CleanedScorer", "CleanedTrainer"]


@dataclass(frozen=True)
class CleanedScorer:
    """Cleans the rows, then scores and explains them. Rows and contributions are those of the declared features."""

    cleaning: Cleaning
    inner: Scorer

    @property
    def kind(self) -> str:
        """How the inner scorer is stored."""
        return self.inner.kind

    def raw(self, rows: Floats) -> Floats:
        """As the inner scorer's, of rows as the encoding gives them."""
        return self.inner.raw(self.cleaning(rows))

    def contributions(self, rows: Floats) -> Floats:
        """Of each feature, after it was cleaned, float64[n, f]."""
        return self.inner.contributions(self.cleaning(rows))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the inner scorer; return the fitted policies beside what it returns."""
        return {STORED: self.cleaning.to_json(), **self.inner.save(folder)}


@dataclass(frozen=True)
class CleanedTrainer:
    """Learns the policies from the training rows it is given, and then the model from the cleaned rows."""

    make: Callable[[Encoding], Trainer]
    """The trainer of a matrix of that encoding."""
    encoding: Encoding
    """Of the rows before they are cleaned."""
    policies: Mapping[str, CleaningPolicy]
    seed: int

    def suggest(self, trial: Any) -> Params:
        """As the inner trainer; policies are declared, not searched."""
        return self.make(self.encoding).suggest(trial)

    def defaults(self) -> Params:
        """As the inner trainer."""
        return self.make(self.encoding).defaults()

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Fit the policies once; nothing is learned from `tune`."""
        cleaning, own = self._learn(train)
        inner = self.make(cleaning.encoding(self.encoding))
        fit = inner.prepare(own, replace(tune, rows=cleaning(tune.rows)), threads)
        return lambda params: CleanedScorer(cleaning, fit(params))

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """Policies and model, both from all of these rows."""
        assert isinstance(fitted, CleanedScorer)
        cleaning, own = self._learn(examples)
        inner = refitting(self.make(cleaning.encoding(self.encoding)))
        return CleanedScorer(cleaning, inner.refit(params, fitted.inner, own, threads))

    def _learn(self, examples: Examples) -> tuple[Cleaning, Examples]:
        # Here: what serves a cleaned model knows no declarations.
        from mlplatform.ml.cleaning_fit import learn_cleaning

        return learn_cleaning(self.policies, self.encoding, examples, self.seed)
