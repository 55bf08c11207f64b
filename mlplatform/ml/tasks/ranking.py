"""An order of candidates for each request, judged by where the right ones stand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.blend_weights import blend_weights
from mlplatform.ml.bootstrap import resamples
from mlplatform.ml.examples import QUERY, Codes, Examples, column_codes, renumbered
from mlplatform.ml.heads import Head, Order
from mlplatform.ml.metrics import Floats, Labels, query_figures
from mlplatform.ml.tasks.base import Figure, scores_of
from mlplatform.spec.task import RankingTask

__all__ = ["Ranking"]


@dataclass(frozen=True)
class Ranking:
    """Labels are 1 for the candidates that were right, else 0.

    A request none of whose candidates was right says nothing about an order, and counts nowhere.
    """

    declared: RankingTask
    unit: ClassVar[str] = Order.unit
    evidence_name: ClassVar[str] = "positives"
    calibration_name: ClassVar[str | None] = None

    @property
    def levels(self) -> str:
        """What is answered."""
        return f"an order, judged on its first {self.declared.k} places"

    @property
    def searched(self) -> RankingTask:
        """As it is declared."""
        return self.declared

    def labels(self, values: pd.Series) -> Labels:
        """0 or 1, int64[n]."""
        if not values.isin([0, 1]).all():
            raise TrainingError(f"{values.name!r} must be 0 or 1 in every row: whether the candidate was right")
        return values.to_numpy(dtype=np.int64)

    def aside(self, frame: pd.DataFrame, event_time: str, delay_days: int) -> Mapping[str, npt.NDArray[Any]]:
        """Which rows are of one request."""
        del event_time, delay_days
        return {QUERY: column_codes(frame, self.declared.query, "task.query")}

    def require(self, examples: Examples, part: str, extent: object) -> None:
        """A request with right and wrong candidates."""
        queries = examples.aside[QUERY]
        right = np.bincount(queries, examples.labels == 1)
        told = int(((right > 0) & (right < np.bincount(queries))).sum())
        if told == 0:
            raise TrainingError(
                f"the {part} part, {extent}, has {len(np.unique(queries))} requests, none with both right and wrong "
                "candidates; load more history, lengthen the part or offer more candidates"
            )

    def thinned(self, examples: Examples, seed: int) -> Examples:
        """All: a request without some of its candidates would be an easier one."""
        del seed
        return examples

    def head(self, kind: str, raw: Floats, tune: Examples) -> Order:
        """There is nothing to fit."""
        del kind, raw, tune
        return Order()

    def answered_by(self, head: Head) -> bool:
        """Orders."""
        return isinstance(head, Order)

    def read_answers(self, described: Sequence[Mapping[str, Any]]) -> Floats:
        """Scores, [n]."""
        return scores_of(described)

    def promised(self, name: str, answers: Floats) -> float:
        """Nothing: the scores of an order are no probabilities."""
        del name, answers
        return float("nan")

    def figure(self, name: str, examples: Examples, answers: Floats) -> Figure:
        """`ndcg` or `recall`."""
        return self.figures(examples, answers)[name]

    def figures(self, examples: Examples, answers: Floats) -> dict[str, Figure]:
        """Of the first k places, mean over the requests; of all that was right among the candidates."""
        queries: Codes = examples.aside[QUERY]
        return query_figures(examples.labels, answers, queries, self.declared.k)

    def calibration_error(self, examples: Examples, answers: Floats) -> None:
        """A score is no probability."""
        del examples, answers

    def middle(self, answers: Floats) -> Floats:
        """As they are."""
        return answers

    def blend(self, columns: Floats, examples: Examples) -> Floats:
        """By log loss: stacking of scores."""
        return blend_weights(columns, examples.labels, examples.weights)

    def evidence(self, labels: Labels) -> npt.NDArray[np.bool_]:
        """The candidates that were right."""
        return np.asarray(labels == 1)

    def resamples(self, examples: Examples, samples: int, seed: int) -> Iterator[Floats]:
        """The declared groups, such as the person, else requests."""
        groups = renumbered(examples.aside[QUERY]) if examples.groups is None else examples.groups
        return resamples(self.evidence(examples.labels), samples, seed, groups)
