"""What is served at one moment (`Live`), and the cell that a running service reads it from (`Slot`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.ml.heads import Order, Probability
from mlplatform.serving.bundle import Bundle
from mlplatform.serving.codec import dumps
from mlplatform.serving.column import example_value
from mlplatform.serving.laps import lap
from mlplatform.serving.rows import RowReader

__all__ = ["REASONS", "RESERVED", "Answered", "ExplanationCost", "Live", "Refusal", "ScoreError", "Slot"]

REASONS = 3
"""Features named per prediction, by size of their contribution."""
_SOME = 9
RESERVED = ("rows", "explain")
"""Keys of a request beside the features."""


class ScoreError(ArtifactError):
    """A model gave a number that no decision can rest on."""


@dataclass(frozen=True)
class Answered:
    """What a request gets, and what there is to remember of it: one entry each per prediction."""

    content: dict[str, Any]
    about: Sequence[Mapping[str, Any]]
    """Keys and event time, and maybe more."""
    features: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Live:
    """One loaded bundle, ready to answer. Immutable, so a request that began with it ends with it."""

    bundle: Bundle
    bento: str
    reader: RowReader
    explanation: "ExplanationCost | None" = None
    """What reasons cost here; None until it has been measured."""

    @classmethod
    def of(cls, bundle: Bundle, bento: str) -> "Live":
        """Compile the rules and answer one example, so that the first request finds everything warm.

        Raises ArtifactError if contract and model do not fit together, ScoreError if the model gives no finite numbers.
        """
        features = bundle.model.features
        clash = [name for name in RESERVED if name in features]
        if clash:
            raise ArtifactError(f"features may not be called {', '.join(clash)}: requests use these keys; rename them")
        head = bundle.model.head
        if isinstance(head, Probability) and not math.isfinite(head.threshold):
            raise ScoreError(f"the threshold is {head.threshold}, which decides nothing; train again")
        reader = RowReader(features, bundle.rules, bundle.model.encoding.categories, bundle.journal.identity)
        live = cls(bundle, bento, reader)
        live.predict([live.example()], explain=True)
        if bundle.lookup is not None:
            live.look_up(bundle.lookup.example(), explain=True)
        return replace(live, explanation=ExplanationCost.of(live))

    def example(self) -> dict[str, Any]:
        """A request that passes the rules, made from their examples."""
        return {rule.name: example_value(rule) for rule in self.reader.rules}

    def describe(self) -> dict[str, str]:
        """What answered: goes into every response, readiness and metrics."""
        return {"use_case": self.bundle.use_case, "version": self.bundle.version, "bento": self.bento}

    @cached_property
    def stamp(self) -> dict[str, Any]:
        """What stands behind each answer: the decisions' threshold, where there are any, and which model it was."""
        head = self.bundle.model.head
        threshold = {"threshold": head.threshold} if isinstance(head, Probability) else {}
        return {**threshold, "model": self.describe()}

    @cached_property
    def _encoded_stamp(self) -> bytes:
        return b"," + dumps(self.stamp)[1:-1] + b',"request_id":"'

    def stamped(self, content: Mapping[str, Any], identity: str) -> bytes:
        """The body that goes out; the stamp is the same each time, and encoded once.

        `content`: at least one key. `identity`: as `request_id` makes it, with nothing that JSON would escape.
        """
        return b"".join((dumps(content)[:-1], self._encoded_stamp, identity.encode(), b'"}'))

    def predict(self, rows: list[dict[str, Any]], explain: bool) -> list[dict[str, Any]]:
        """Predictions for rows that are known to be good; raises ArtifactError if they are not."""
        matrix, problems = self.reader.read(rows)
        if problems:
            raise ArtifactError(f"the contract's example breaks its own rule: {problems[0]}; correct the example")
        return self.score(rows, matrix, explain)

    def score(
        self, rows: list[dict[str, Any]], matrix: npt.NDArray[np.float64], explain: bool | None
    ) -> list[dict[str, Any]]:
        """`matrix`: float64[n, f] read from `rows`. One object per row: the task's answer and, if asked, the reasons;
        where nothing was said, if they are cheap.

        Raises ScoreError if a number is not finite: as a comparison, NaN would be a quiet "no".
        """
        model, began = self.bundle.model, perf_counter()
        predictions = model.head.describe(self._finite("score", model.predict(matrix)))
        began = lap("model", began)
        if explain is None:
            explain = self.explains(len(rows))
        if explain:
            reasons = self._reasons(rows, self._finite("contribution", model.explain(matrix)))
            for prediction, why in zip(predictions, reasons, strict=True):
                prediction["reasons"] = why
            lap("explanation", began)
        return predictions

    def explains(self, rows: int) -> bool:
        """Whether so many rows get reasons that nobody asked for by name."""
        return self.explanation is None or self.explanation.milliseconds(rows) <= self.bundle.limits.explanation_ms

    def look_up(self, request: dict[str, Any], explain: bool | None) -> Answered | str:
        """Answer a request by key: the entries of its rows, or what is wrong with it.

        Raises ScoreError as `score` does.
        """
        lookup, model = self.bundle.lookup, self.bundle.model
        if lookup is None:
            return f"{self.bundle.use_case} is asked by features, not by key"
        began = perf_counter()
        asked = lookup.find(request)
        began = lap("features", began)
        if isinstance(asked, str):
            return asked
        order = None
        if isinstance(model.head, Order):
            order = self._finite("score", model.predict(lookup.matrix[asked.rows]))
            lap("model", began)
        rows = lookup.chosen(asked, order)
        features = lookup.entries(rows, model.features)
        answers = self.score(features, lookup.matrix[rows], explain)
        shown = lookup.entries(rows, lookup.settings.shown)
        entries = [{**told, **answer} for told, answer in zip(shown, answers, strict=True)]
        content = {lookup.settings.answers: entries, "known": asked.known, "as_of": lookup.as_of(asked)}
        return Answered(content, lookup.about(rows, self.bundle.journal.identity), features, answers)

    def _finite(self, what: str, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        finite = np.isfinite(numbers)
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            raise ScoreError(
                f"{self.bento} gave a {what} that is not a finite number for row {row}, so there is no decision; "
                "deploy another version"
            )
        return numbers

    def _reasons(
        self, rows: list[dict[str, Any]], contributions: npt.NDArray[np.float64]
    ) -> list[list[dict[str, Any]]]:
        order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :REASONS].tolist()
        features = self.bundle.model.features
        return [
            [
                {"feature": features[column], "value": row[features[column]], "contribution": float(given[column])}
                for column in columns
            ]
            for row, given, columns in zip(rows, contributions, order, strict=True)
        ]


@dataclass(frozen=True)
class ExplanationCost:
    """Seconds that reasons take on this machine: a line through one row and some."""

    first: float
    """Of one row."""
    further: float
    """Of each row more."""

    @classmethod
    def of(cls, live: Live) -> "ExplanationCost":
        """Measured on the example; the best of three, since other work only adds."""
        matrix, _ = live.reader.read([live.example()])
        one, some = (min(_seconds(live, matrix.repeat(n, axis=0)) for _ in range(3)) for n in (1, _SOME))
        return cls(one, max(0.0, some - one) / (_SOME - 1))

    def milliseconds(self, rows: int) -> float:
        """Expected of so many rows."""
        return 1000 * (self.first + (rows - 1) * self.further)


def _seconds(live: Live, matrix: npt.NDArray[np.float64]) -> float:
    began = perf_counter()
    live.bundle.model.explain(matrix)
    return perf_counter() - began


@dataclass(frozen=True)
class Refusal:
    """Why a deployment is not live, and which one; "" where the pointer could not be read."""

    why: str
    bento: str = ""
    version: str = ""


class Slot:
    """The one mutable cell of a service. `live` is replaced as a whole; `problem` says why a newer one is not live."""

    def __init__(self, live: Live | None = None) -> None:
        self._state: tuple[Live | None, Refusal | None] = (live, None)
        self.swapped = self.refused = 0
        """How often another model went live, and how often one could not."""

    @property
    def live(self) -> Live | None:
        """What answers now; None before the first bundle is loaded."""
        return self._state[0]

    @property
    def problem(self) -> str | None:
        """Why the newest deployment is not live; None if it is."""
        refusal = self._state[1]
        return refusal.why if refusal else None

    @property
    def refusal(self) -> Refusal | None:
        """The same, with what was refused."""
        return self._state[1]

    def swap(self, live: Live) -> None:
        """From the next request on, this answers. Requests under way keep the one that they began with."""
        self.swapped += live is not self._state[0]
        self._state = (live, None)

    def refuse(self, refusal: Refusal) -> None:
        """Keep what is live and remember why the newer one is not."""
        self.refused += 1
        self._state = (self._state[0], refusal)
