"""Logistic regression (scikit-learn) stored as ONNX, explained exactly. scikit-learn is imported only to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import onnxruntime

from mlplatform.errors import ArtifactError
from mlplatform.ml.design import Design, plain
from mlplatform.ml.examples import Examples
from mlplatform.ml.linear_form import LinearForm, to_onnx
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_scorer import FILE, UNREADABLE, open_session, run_session
from mlplatform.ml.space import free, require_known

if TYPE_CHECKING:
    from mlplatform.ml.trainer import Fit, Params, Scorer
    from mlplatform.spec.candidate import SklearnCandidate

__all__ = ["LinearScorer", "LinearTrainer", "standardised"]


@dataclass(frozen=True)
class LinearScorer:
    """Scores through ONNX Runtime, explains from the form's numbers."""

    form: LinearForm
    content: bytes
    session: onnxruntime.InferenceSession
    kind: ClassVar[str] = "logistic"

    @classmethod
    def of(cls, form: LinearForm, content: bytes | None = None) -> Self:
        """Open a session on `content`, by default the graph of `form`."""
        content = to_onnx(form) if content is None else content
        return cls(form, content, open_session(content))

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read `model.onnx` and the `linear` part of model.json."""
        try:
            return cls.of(LinearForm.from_json(stored["linear"]), (folder / FILE).read_bytes())
        except UNREADABLE as error:
            raise ArtifactError(f"cannot read {folder / FILE}: {error}; package the model again") from error

    def raw(self, rows: Floats) -> Floats:
        """Linear score, [n]."""
        return run_session(self.session, rows)

    def contributions(self, rows: Floats) -> Floats:
        """What each feature adds to the log-odds of the mean row, float64[n, f]."""
        return self.form.contributions(rows)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the ONNX file; return the form."""
        (folder / FILE).write_bytes(self.content)
        return {"linear": asdict(self.form)}


@dataclass(frozen=True)
class LinearTrainer:
    """Median imputation, one-hot categories, standardisation, L2 logistic regression."""

    candidate: SklearnCandidate
    categories: Mapping[int, int]

    def suggest(self, trial: Any) -> Params:
        """Strength of the penalty and whether classes weigh the same."""
        point: dict[str, float | bool] = {}
        if "C" not in self.candidate.params:
            point["C"] = trial.suggest_float("C", 1e-4, 100.0, log=True)
        if "balanced" not in self.candidate.params:
            point["balanced"] = trial.suggest_categorical("balanced", [False, True])
        return point

    def defaults(self) -> Params:
        """scikit-learn's own."""
        return free(self.candidate, {"C": 1.0, "balanced": False})

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Impute and standardise once. Nothing stops early, so `tune` is unused; `threads` too."""
        from sklearn.linear_model import LogisticRegression

        del tune, threads
        require_known(self.candidate, ("C", "balanced"))
        form, standard, mean, scale = standardised(train, self.categories)

        def fit(params: Params) -> Scorer:
            chosen = {**params, **self.candidate.params}
            balance = "balanced" if chosen["balanced"] else None
            model = LogisticRegression(C=chosen["C"], class_weight=balance, max_iter=500)
            model.fit(standard, train.labels, sample_weight=train.weights)
            weights = model.coef_[0] / scale
            intercept = float(model.intercept_[0] - weights @ mean)
            return LinearScorer.of(replace(form, weights=plain(weights), intercept=intercept, background=plain(mean)))

        return fit

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """As the first time: nothing stops early."""
        del fitted
        return self.prepare(examples, examples, threads)(params)


def standardised(train: Examples, categories: Mapping[int, int]) -> tuple[LinearForm, Floats, Floats, Floats]:
    """The form without weights, the training design with mean 0 and deviation 1, and those two of each column."""
    learned = Design.learn(train.rows, categories)
    form = LinearForm(learned.numeric, learned.fill, learned.categories)
    design = form.design(train.rows)
    mean = np.average(design, axis=0, weights=train.weights)
    scale = np.sqrt(np.average((design - mean) ** 2, axis=0, weights=train.weights))
    # A constant column says nothing; its mean may differ from it by a rounding error, which must be no scale.
    constant = (design == design[0]).all(axis=0)
    mean[constant], scale[constant] = design[0, constant], 1.0
    return form, (design - mean) / scale, mean, scale
