"""From the raw score that a model gives to the answer that is served. Stored as JSON, never pickled.

A head belongs to the task: probabilities for yes or no and for classes, quantiles for amounts, the score itself for an
order.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.calibration import Calibration, Sigmoid, calibration_from_json, calibration_to_json
from mlplatform.ml.metrics import Floats

__all__ = ["LEAST_SHARE", "Classes", "Head", "Order", "Probability", "Quantiles", "head_from_json"]


class Head(Protocol):
    """What is fitted on the tune rows and turns raw scores into answers."""

    task: ClassVar[str]
    unit: ClassVar[str]
    """What contributions are measured in."""

    @property
    def slope(self) -> float:
        """What contributions to the raw score are multiplied by."""
        ...

    def calibrated(self, raw: Floats) -> Floats:
        """On the raw score's own scale, where models can be blended."""
        ...

    def __call__(self, raw: Floats) -> Floats:
        """The answers, [n] or, of amounts and classes, [n, levels]."""
        ...

    def describe(self, answers: Floats) -> list[dict[str, Any]]:
        """One JSON object per row, as a service answers."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `head_from_json` reads."""
        ...


@dataclass(frozen=True)
class Probability:
    """Log-odds to a calibrated probability, and a decision by the declared costs."""

    calibration: Calibration
    threshold: float
    """Probability from which the decision is positive."""
    task: ClassVar[str] = "binary"
    unit: ClassVar[str] = "log-odds"

    @property
    def slope(self) -> float:
        """An isotonic calibration is not linear: contributions then speak of the uncalibrated score."""
        return self.calibration.slope if isinstance(self.calibration, Sigmoid) else 1.0

    def calibrated(self, raw: Floats) -> Floats:
        """Calibrated log-odds, [n]."""
        return self.calibration.calibrate(raw)

    def __call__(self, raw: Floats) -> Floats:
        """Calibrated probability of the positive class, [n]."""
        return self.calibration(raw)

    def describe(self, answers: Floats) -> list[dict[str, Any]]:
        """`score` and `decision`."""
        threshold = self.threshold
        return [{"score": score, "decision": score >= threshold} for score in answers.tolist()]

    def to_json(self) -> dict[str, Any]:
        """As it always was: models from before there were tasks are read."""
        return {"calibration": calibration_to_json(self.calibration), "threshold": self.threshold}


@dataclass(frozen=True)
class Classes:
    """Log-odds of each class against the others, calibrated one by one and made to add up to 1.

    Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002.
    """

    names: tuple[str, ...]
    calibrations: tuple[Calibration, ...]
    """One per class."""
    least: float = 0.0
    """No probability lies below: 1 / (tune rows + classes), by Laplace's rule of succession. Where the tune rows are
    told apart without an error, a calibration alone would be certain."""
    task: ClassVar[str] = "multiclass"
    unit: ClassVar[str] = "log-odds of the likeliest class"
    slope: ClassVar[float] = 1.0

    def calibrated(self, raw: Floats) -> Floats:
        """Calibrated log-odds, [n, classes]."""
        return np.column_stack([fitted.calibrate(raw[:, code]) for code, fitted in enumerate(self.calibrations)])

    def __call__(self, raw: Floats) -> Floats:
        """Probabilities, [n, classes], each row adding up to 1."""
        told = shares(np.column_stack([fitted(raw[:, code]) for code, fitted in enumerate(self.calibrations)]))
        return self.least + (1 - len(self.names) * self.least) * told

    def describe(self, answers: Floats) -> list[dict[str, Any]]:
        """`class`, its probability as `score`, and the `probabilities` of all."""
        return [
            {
                "class": self.names[likeliest],
                "score": row[likeliest],
                "probabilities": dict(zip(self.names, row, strict=True)),
            }
            for row, likeliest in zip(answers.tolist(), answers.argmax(axis=1).tolist(), strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Names and calibrations."""
        calibrations = [calibration_to_json(fitted) for fitted in self.calibrations]
        return {
            "task": self.task,
            "head": {"names": list(self.names), "calibrations": calibrations, "least": self.least},
        }


LEAST_SHARE = 1e-12
"""Of a class before the probabilities are made to add up: nothing is divided by zero."""


def shares(positive: Floats) -> Floats:
    """Rows [n, k] of numbers of at least 0 that add up to 1; a row of zeros says nothing, so all are alike."""
    least = np.maximum(positive, LEAST_SHARE)
    summed: Floats = least / least.sum(axis=1, keepdims=True)
    return summed


@dataclass(frozen=True)
class Order:
    """The score itself, which says nothing but which of two comes first."""

    task: ClassVar[str] = "ranking"
    unit: ClassVar[str] = "score"
    slope: ClassVar[float] = 1.0

    def calibrated(self, raw: Floats) -> Floats:
        """As it is."""
        return raw

    def __call__(self, raw: Floats) -> Floats:
        """As it is."""
        return raw

    def describe(self, answers: Floats) -> list[dict[str, Any]]:
        """`score`."""
        return [{"score": score} for score in answers.tolist()]

    def to_json(self) -> dict[str, Any]:
        """Only its task."""
        return {"task": self.task}


@dataclass(frozen=True)
class Quantiles:
    """Rising quantiles of an amount, widened until the outer two cover what they should.

    Conformalised quantile regression (Romano, Patterson and Candes, NeurIPS 2019), by a share of the row's own width
    instead of a number: series of hundreds and of ones need not share it. A model of the middle alone (raw scores [n])
    gets the quantiles of its own errors.
    """

    levels: tuple[float, ...]
    widen: float = 0.0
    """Share of its width by which the interval grows on each side; below 0 it shrinks."""
    least_width: float = 0.0
    """In the label's unit: narrower intervals are widened as if they were so wide."""
    offsets: tuple[float, ...] = ()
    """What to add to a model of the middle, per level; empty where the model gives every level itself."""
    minimum: float | None = None
    task: ClassVar[str] = "forecast"
    unit: ClassVar[str] = "units of the label"
    slope: ClassVar[float] = 1.0

    @classmethod
    def fit(
        cls,
        levels: tuple[float, ...],
        raw: Floats,
        labels: Floats,
        minimum: float | None,
        *,
        conformal: bool,
        weights: Floats | None = None,
    ) -> Self:
        """Learn from rows that the model did not learn from: raw [n] or [n, levels], labels [n].

        `weights` [n] count a row so often.
        """
        if raw.ndim == 1:
            offsets = np.quantile(labels - raw, levels, weights=weights, method=_METHOD)
            return cls(levels, offsets=tuple(map(float, offsets)), minimum=minimum)
        if not conformal:
            return cls(levels, minimum=minimum)
        rising, least = np.sort(raw, axis=1), _WIDTH * float(np.abs(labels).mean())
        low, high = rising[:, 0], rising[:, -1]
        outside = np.maximum(low - labels, labels - high) / np.maximum(high - low, least)
        covered = levels[-1] - levels[0]
        rank = min(1.0, np.ceil((len(labels) + 1) * covered) / len(labels))
        widen = float(np.quantile(outside, rank, weights=weights, method=_METHOD))
        return cls(levels, widen, least, minimum=minimum)

    @property
    def middle(self) -> int:
        """Position of the median."""
        return self.levels.index(0.5)

    def calibrated(self, raw: Floats) -> Floats:
        """The answers: quantiles are blended as they are."""
        return self(raw)

    def __call__(self, raw: Floats) -> Floats:
        """Quantiles, [n, levels], each row rising."""
        answers = raw[:, None] + np.asarray(self.offsets) if self.offsets else np.sort(raw, axis=1)
        if self.widen:
            answers = self._widened(answers)
        return answers if self.minimum is None else np.maximum(answers, self.minimum)

    def _widened(self, answers: Floats) -> Floats:
        middle, side = answers[:, [self.middle]], np.asarray(self.levels) - 0.5
        width = np.maximum(answers[:, [-1]] - answers[:, [0]], self.least_width)
        # The outer levels move by all of it, those between by their share of the way.
        reach = np.where(side < 0, side / -side[0], side / side[-1])
        moved = answers + self.widen * width * reach
        # An interval that shrinks stops at the middle.
        return np.sort(np.where(side < 0, np.minimum(moved, middle), np.maximum(moved, middle)), axis=1)

    def describe(self, answers: Floats) -> list[dict[str, Any]]:
        """`forecast` (the median) and `quantiles` by level."""
        names = [f"{level:g}" for level in self.levels]
        return [
            {"forecast": row[self.middle], "quantiles": dict(zip(names, row, strict=True))} for row in answers.tolist()
        ]

    def to_json(self) -> dict[str, Any]:
        """Its numbers."""
        return {"task": self.task, "head": asdict(self)}


_METHOD: Literal["inverted_cdf"] = "inverted_cdf"
"""The one that takes weights: the least value that the share lies at or below."""
_WIDTH = 0.01
"""A row whose interval is a point is widened by a share of this much of a mean label."""


def head_from_json(stored: Mapping[str, Any]) -> Head:
    """Back from `to_json`, beside other keys; raises KeyError when a part is missing, ArtifactError on another task."""
    task = stored.get("task", "binary")
    if task == "binary":
        return Probability(calibration_from_json(stored["calibration"]), float(stored["threshold"]))
    if task == "ranking":
        return Order()
    if task == "multiclass":
        told = stored["head"]
        fitted = tuple(calibration_from_json(each) for each in told["calibrations"])
        return Classes(tuple(told["names"]), fitted, float(told["least"]))
    if task == "forecast":
        head = stored["head"]
        return Quantiles(**{**head, "levels": tuple(head["levels"]), "offsets": tuple(head["offsets"])})
    raise ArtifactError(f"unknown task {task!r} of a stored model; use the version that wrote it")
