"""Several classes by one model each against all others, whatever learns it.

Rifkin and Klautau, "In Defense of One-Vs-All Classification", JMLR 5 (2004): as accurate as joint schemes where each
model is well tuned, and every kind of candidate can do it. The head calibrates each and makes them add up to 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from mlplatform.ml.cleaned import CleanedScorer
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.subset import SubsetScorer
from mlplatform.ml.trainer import Fit, Params, Scorer, Trainer, refitting

__all__ = ["OneVsRestScorer", "OneVsRestTrainer", "contributions_to"]


@dataclass(frozen=True)
class OneVsRestScorer:
    """A scorer for each class, in the order of the classes."""

    scorers: Sequence[Scorer]
    kind: ClassVar[str] = "one_vs_rest"

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any], open_scorer: Callable[..., Scorer]) -> Self:
        """Read each class's folder; `open_scorer` (folder, description) opens one."""
        return cls([open_scorer(folder / _folder(code), about) for code, about in enumerate(stored["per_class"])])

    def raw(self, rows: Floats) -> Floats:
        """Log-odds of each class against the others, [n, classes]."""
        return np.column_stack([scorer.raw(rows) for scorer in self.scorers])

    def contributions(self, rows: Floats) -> Floats:
        """Those to the log-odds of each row's likeliest class before calibration, float64[n, f]."""
        return contributions_to(self, self.raw(rows).argmax(axis=1), rows)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write a folder per class; return what opens them."""
        described = []
        for code, scorer in enumerate(self.scorers):
            (folder / _folder(code)).mkdir(parents=True, exist_ok=True)
            described.append({"kind": scorer.kind, **scorer.save(folder / _folder(code))})
        return {"per_class": described}


@dataclass(frozen=True)
class OneVsRestTrainer:
    """The same parameters for every class."""

    trainer: Trainer
    classes: int

    def suggest(self, trial: Any) -> Params:
        """As the one for two classes."""
        return self.trainer.suggest(trial)

    def defaults(self) -> Params:
        """As the one for two classes."""
        return self.trainer.defaults()

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Each on labels that say: this class, or another."""
        fits = [
            self.trainer.prepare(_against(train, code), _against(tune, code), threads) for code in range(self.classes)
        ]
        return lambda params: OneVsRestScorer([fit(params) for fit in fits])

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """Each class for as long as it learned."""
        assert isinstance(fitted, OneVsRestScorer)
        trainer = refitting(self.trainer)
        again = [
            trainer.refit(params, scorer, _against(examples, code), threads)
            for code, scorer in enumerate(fitted.scorers)
        ]
        return OneVsRestScorer(again)


def contributions_to(scorer: Scorer, codes: npt.NDArray[np.int64], rows: Floats) -> Floats:
    """What each feature adds to the log-odds of the class `codes` [n] of each row, float64[n, f].

    `scorer` is one of several classes, behind whatever cleans rows or leaves columns out.
    """
    parts = np.empty(rows.shape)
    for code in np.unique(codes):
        chosen = codes == code
        parts[chosen] = _of_class(scorer, code).contributions(rows[chosen])
    return parts


def _of_class(scorer: Scorer, code: int) -> Scorer:
    if isinstance(scorer, CleanedScorer | SubsetScorer):
        return replace(scorer, inner=_of_class(scorer.inner, code))
    assert isinstance(scorer, OneVsRestScorer), f"{scorer.kind} has no classes"
    return scorer.scorers[code]


def _against(examples: Examples, code: int) -> Examples:
    return replace(examples, labels=(examples.labels == code).astype(np.int64))


def _folder(code: int) -> str:
    return f"class-{code}"
