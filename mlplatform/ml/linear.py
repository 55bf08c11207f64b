"""Logistic regression (scikit-learn) stored as ONNX. Imported only where it is used; scikit-learn only to fit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from mlplatform.errors import ArtifactError
from mlplatform.ml.examples import Examples
from mlplatform.ml.linear_form import LinearForm, to_onnx
from mlplatform.ml.metrics import Floats
from mlplatform.ml.trainer import Fit, Params, Scorer
from mlplatform.spec.training import LogisticCandidate

__all__ = ["LinearScorer", "LinearTrainer"]

FILE = "model.onnx"


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
        options = onnxruntime.SessionOptions()
        # One row costs 26 us; a second thread only adds hand-over.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return cls(form, content, session)

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read `model.onnx` and the `linear` part of model.json."""
        try:
            return cls.of(LinearForm.from_json(stored["linear"]), (folder / FILE).read_bytes())
        except (OSError, KeyError, TypeError, InvalidProtobuf) as error:
            raise ArtifactError(f"cannot read {folder / FILE}: {error}; package the model again") from error

    def log_odds(self, rows: Floats) -> Floats:
        """Linear score, [n]."""
        scores: Floats = self.session.run(None, {"rows": np.ascontiguousarray(rows, dtype=np.float64)})[0]
        return scores

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

    candidate: LogisticCandidate
    categories: Mapping[int, int]

    def suggest(self, trial: Any) -> Params:
        """Strength of the penalty and whether classes weigh the same."""
        return {
            "C": trial.suggest_float("C", 1e-4, 100.0, log=True),
            "balanced": trial.suggest_categorical("balanced", [False, True]),
        }

    def defaults(self) -> Params:
        """scikit-learn's own."""
        return {"C": 1.0, "balanced": False}

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Impute and standardise once. Nothing stops early, so `tune` is unused; `threads` too."""
        from sklearn.linear_model import LogisticRegression

        del tune, threads
        form = self._empty_form(train.rows)
        design = form.design(train.rows)
        mean = np.average(design, axis=0, weights=train.weights)
        scale = np.sqrt(np.average((design - mean) ** 2, axis=0, weights=train.weights))
        scale[scale == 0] = 1.0  # a constant column says nothing and must not divide by zero
        standard = (design - mean) / scale

        def fit(params: Params) -> Scorer:
            balance = "balanced" if params["balanced"] else None
            model = LogisticRegression(C=params["C"], class_weight=balance, max_iter=500)
            model.fit(standard, train.labels, sample_weight=train.weights)
            weights = model.coef_[0] / scale
            intercept = float(model.intercept_[0] - weights @ mean)
            return LinearScorer.of(replace(form, weights=_plain(weights), intercept=intercept, background=_plain(mean)))

        return fit

    def _empty_form(self, rows: Floats) -> LinearForm:
        numeric = tuple(column for column in range(rows.shape[1]) if column not in self.categories)
        numbers = rows[:, numeric]
        empty = np.isnan(numbers).all(axis=0)
        fill = np.zeros(len(numeric))  # a column without any value is constant, so it gets no weight
        fill[~empty] = np.nanmedian(numbers[:, ~empty], axis=0)
        return LinearForm(numeric, _plain(fill), tuple(sorted(self.categories.items())))


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
