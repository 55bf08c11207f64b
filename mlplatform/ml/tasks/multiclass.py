"""One of several classes: calibrated probabilities, judged by log loss, accuracy and calibration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import resamples
from mlplatform.ml.calibration import Sigmoid, fit_calibration
from mlplatform.ml.examples import Examples
from mlplatform.ml.heads import Classes, Head, shares
from mlplatform.ml.metrics import Floats, Labels, calibration_gaps
from mlplatform.ml.tasks.base import Figure
from mlplatform.spec.task import MulticlassTask

__all__ = ["Multiclass"]

_SUREST = 1e-9


@dataclass(frozen=True)
class Multiclass:
    """Labels are 0, 1, 2, ..., the positions of the declared classes."""

    declared: MulticlassTask
    unit: ClassVar[str] = Classes.unit
    evidence_name: ClassVar[str] = "rows"
    calibration_name: ClassVar[str | None] = "expected calibration error of the likeliest class, 10 equal-mass bins"

    @property
    def levels(self) -> str:
        """What is answered."""
        return f"a calibrated probability of each of {len(self.declared.classes)} classes"

    @property
    def searched(self) -> MulticlassTask:
        """As it is declared."""
        return self.declared

    def labels(self, values: pd.Series) -> Labels:
        """0, 1, 2, ..., int64[n]."""
        if not values.isin(range(len(self.declared.classes))).all():
            raise TrainingError(
                f"{values.name!r} must be 0 to {len(self.declared.classes) - 1}, a class of task.classes, in every "
                "row; drop rows whose label is not known yet"
            )
        return values.to_numpy(dtype=np.int64)

    def aside(self, frame: pd.DataFrame, event_time: str, delay_days: int) -> Mapping[str, npt.NDArray[Any]]:
        """Nothing."""
        del frame, event_time, delay_days
        return {}

    def require(self, examples: Examples, part: str, extent: object) -> None:
        """All classes where something is learned, two where something is judged."""
        there = np.bincount(examples.labels, minlength=len(self.declared.classes)) > 0
        if "train" in part and not there.all():
            lacking = [name for name, has in zip(self.declared.classes, there, strict=True) if not has]
            raise TrainingError(
                f"the {part} part, {extent}, has no row of {', '.join(lacking)}; load more rows, or leave these "
                "classes out"
            )
        if there.sum() < 2:
            raise TrainingError(f"the {part} part, {extent}, has rows of one class only: nothing can be judged by them")

    def thinned(self, examples: Examples, seed: int) -> Examples:
        """All."""
        del seed
        return examples

    def head(self, kind: str, raw: Floats, tune: Examples) -> Classes:
        """A calibration for each class against the others; one that the tune rows lack stays as it is."""
        fitted = []
        for code in range(len(self.declared.classes)):
            labels = (tune.labels == code).astype(np.int64)
            both = 0 < labels.sum() < len(labels)
            fitted.append(fit_calibration(kind, raw[:, code], labels, tune.weights) if both else Sigmoid())
        return Classes(tuple(self.declared.classes), tuple(fitted), 1 / (len(tune) + len(fitted)))

    def answered_by(self, head: Head) -> bool:
        """Probabilities of the same classes."""
        return isinstance(head, Classes) and list(head.names) == self.declared.classes

    def read_answers(self, described: Sequence[Mapping[str, Any]]) -> Floats:
        """Probabilities, [n, classes]."""
        names = self.declared.classes
        try:
            rows = [[answer["probabilities"][name] for name in names] for answer in described]
        except (KeyError, TypeError) as error:
            raise TrainingError(f"an answer lacks a class ({error}): it is one of another declaration") from error
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(names))

    def promised(self, name: str, answers: Floats) -> float:
        """Each row counts as each class with its probability."""
        if not len(answers):
            return float("nan")
        if name == "accuracy":
            return float(answers.max(axis=1).mean())
        if name != "log_skill":
            return float("nan")
        mean = answers.mean(axis=0)
        loss = float(-(answers * np.log(np.maximum(answers, _SUREST))).sum(axis=1).mean())
        naive = float(-(mean * np.log(np.maximum(mean, _SUREST))).sum())
        return 1 - loss / naive if naive > 0 else float("nan")

    def figure(self, name: str, examples: Examples, answers: Floats) -> Figure:
        """By its name; `answers` may be log-odds of each class."""
        return self.figures(examples, _probabilities(answers))[name]

    def figures(self, examples: Examples, answers: Floats) -> dict[str, Figure]:
        """Log loss beside that of the classes' shares, accuracy, accuracy of the mean class, calibration."""
        labels, likeliest = examples.labels, answers.argmax(axis=1)
        right = (likeliest == labels).astype(np.float64)
        loss = -np.log(np.maximum(answers[np.arange(len(labels)), labels], _SUREST))
        count = len(self.declared.classes)
        return {
            "log_skill": lambda weights: 1 - _mean(loss, weights) / _entropy(labels, count, weights),
            "accuracy": lambda weights: _mean(right, weights),
            "balanced_accuracy": lambda weights: _balanced(labels, right, count, weights),
            "log_loss": lambda weights: _mean(loss, weights),
            "calibration_error": calibration_gaps((right == 1).astype(np.int64), answers.max(axis=1)),
        }

    def calibration_error(self, examples: Examples, answers: Floats) -> float:
        """The expected one of the likeliest class, of ten bins."""
        return float(self.figure("calibration_error", examples, answers)(examples.weights))

    def middle(self, answers: Floats) -> Floats:
        """The probability of the likeliest class."""
        return answers if answers.ndim == 1 else answers.max(axis=1)

    def blend(self, columns: Floats, examples: Examples) -> Floats:
        """Not possible; the declaration has refused it."""
        del columns, examples
        raise TrainingError("an ensemble cannot blend a multiclass task; leave it out")

    def evidence(self, labels: Labels) -> npt.NDArray[np.bool_]:
        """Every row."""
        return np.ones(len(labels), dtype=np.bool_)

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """Rows, or the declared groups."""
        return resamples(self.evidence(examples.labels), samples, seed, examples.groups)


def _probabilities(answers: Floats) -> Floats:
    """As they are where rows add up to 1, else each class's log-odds by themselves, made to add up."""
    if len(answers) and np.allclose(answers.sum(axis=1), 1) and answers.min() >= 0:
        return answers
    from scipy.special import expit

    return shares(expit(answers))


def _mean(values: Floats, weights: Floats | None) -> float:
    return float(np.average(values, weights=weights))


def _entropy(labels: Labels, count: int, weights: Floats | None) -> float:
    """The log loss of saying the classes' own shares for every row; NaN where there is one class only."""
    mass = np.bincount(labels, weights=weights, minlength=count)
    share = mass[mass > 0] / mass.sum()
    return float(-(share * np.log(share)).sum()) or float("nan")


def _balanced(labels: Labels, right: Floats, count: int, weights: Floats | None) -> float:
    mass = np.ones(len(labels)) if weights is None else weights
    of_class = np.bincount(labels, weights=mass, minlength=count)
    hit = np.bincount(labels, weights=mass * right, minlength=count)
    return float((hit[of_class > 0] / of_class[of_class > 0]).mean())
