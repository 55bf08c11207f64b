"""What every task offers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.examples import Examples
from mlplatform.ml.heads import Head
from mlplatform.ml.metrics import Floats, Labels
from mlplatform.spec.task import Task as DeclaredTask

__all__ = ["Figure", "Task", "scores_of"]

Figure = Callable[[Floats | None], float]
"""One figure of fixed labels and answers, for any weights [n] of the rows (None: each counts once): one sort of the
scores serves every bootstrap sample. NaN where the weighted rows cannot have it."""


def scores_of(described: Sequence[Mapping[str, Any]]) -> Floats:
    """The score of each answer, float64[n]; raises TrainingError where one has none."""
    try:
        return np.asarray([answer["score"] for answer in described], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"an answer has no score ({error}): it is one of another task") from error


class Task(Protocol):
    """How labels are read, and answers made and judged."""

    unit: ClassVar[str]
    """What contributions are measured in."""
    evidence_name: ClassVar[str]
    """What few of which make a figure worthless: positives, or rows."""
    calibration_name: ClassVar[str | None]
    """What the calibration gate looks at; None where answers have none."""

    @property
    def levels(self) -> str:
        """What a reader should know of the answers, in half a sentence."""
        ...

    @property
    def searched(self) -> DeclaredTask:
        """The declaration that the search fits: as little as its metric needs."""
        ...

    def labels(self, values: pd.Series) -> Labels:
        """Labels [n] of a column; raises TrainingError where one cannot be one."""
        ...

    def aside(self, frame: pd.DataFrame, event_time: str, delay_days: int) -> Mapping[str, npt.NDArray[Any]]:
        """What answers are judged by beside the labels, [n] each; raises TrainingError where a column is missing.

        `delay_days`: until a label is known.
        """
        ...

    def require(self, examples: Examples, part: str, extent: object) -> None:
        """Raise TrainingError where nothing can be learned from, or judged on, the rows of a part."""
        ...

    def thinned(self, examples: Examples, seed: int) -> Examples:
        """What the search learns from: all that matters of it."""
        ...

    def head(self, kind: str, raw: Floats, tune: Examples) -> Head:
        """Fit a calibration of a kind on raw scores of the tune rows."""
        ...

    def answered_by(self, head: Head) -> bool:
        """Whether a stored model's answers are ones of this task, as it is declared today."""
        ...

    def read_answers(self, described: Sequence[Mapping[str, Any]]) -> Floats:
        """Answers [n], or [n, levels], back from what a head's `describe` says of each; raises TrainingError where
        they are no answers of this task."""
        ...

    def promised(self, name: str, answers: Floats) -> float:
        """The figure that calibrated answers promise by themselves, if they are right; NaN where they promise none."""
        ...

    def figure(self, name: str, examples: Examples, answers: Floats) -> Figure:
        """One figure by its name; answers may be raw scores where only their order counts."""
        ...

    def figures(self, examples: Examples, answers: Floats) -> dict[str, Figure]:
        """All that is worth telling of a model, the most telling first."""
        ...

    def calibration_error(self, examples: Examples, answers: Floats) -> float | None:
        """How far answers are from coming true; None where they do not claim to."""
        ...

    def middle(self, answers: Floats) -> Floats:
        """One number per row, [n], of calibrated answers: what members of a blend are weighed by."""
        ...

    def blend(self, columns: Floats, examples: Examples) -> Floats:
        """Weights [m], none negative, adding up to 1, of members' middles [n, m] whose sum fits the labels best."""
        ...

    def evidence(self, labels: Labels) -> npt.NDArray[np.bool_]:
        """Which rows carry evidence, bool[n]."""
        ...

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """Weights of each bootstrap sample, float64[n]: how often it holds each row; what is not independent is drawn
        together."""
        ...
