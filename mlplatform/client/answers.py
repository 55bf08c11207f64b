"""What a service answers, as frozen dataclasses. A field that a task has no use for is None or empty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Found", "Model", "Prediction", "Readiness", "Reason"]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """Which model answered."""

    use_case: str
    version: str
    bento: str

    @classmethod
    def read(cls, content: Json) -> Self:
        """From the `model` of an answer."""
        return cls(str(content["use_case"]), str(content["version"]), str(content["bento"]))


@dataclass(frozen=True)
class Reason:
    """A feature that weighed. `contribution` is signed, in the task's unit, such as log-odds."""

    feature: str
    value: Any
    contribution: float


@dataclass(frozen=True)
class Prediction:
    """One answer. `score` and `decision`: yes or no; `score` alone: an order; `forecast` and `quantiles`: an amount;
    `likeliest`, `score` and `probabilities`: classes."""

    model: Model
    request_id: str
    score: float | None = None
    decision: bool | None = None
    threshold: float | None = None
    """Score from which the decision is true."""
    forecast: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)
    """By level, such as "0.1"."""
    likeliest: str | None = None
    """The likeliest class, the answer's `class`; its probability is `score`."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Of each class."""
    reasons: tuple[Reason, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What the service shows beside an entry that it found by key, such as item and title."""

    @classmethod
    def read(cls, content: Json, answer: Json) -> Self:
        """From one prediction of an answer, which may be the prediction itself. One that another model than the
        answer's gave says so, and has that model's threshold."""
        by = content if "model" in content else answer
        return cls(
            model=Model.read(by["model"]),
            request_id=str(answer["request_id"]),
            score=content.get("score"),
            decision=content.get("decision"),
            threshold=by.get("threshold"),
            forecast=content.get("forecast"),
            quantiles=dict(content.get("quantiles", {})),
            likeliest=content.get("class"),
            probabilities=dict(content.get("probabilities", {})),
            reasons=tuple(Reason(r["feature"], r["value"], r["contribution"]) for r in content.get("reasons", ())),
            shown={name: value for name, value in content.items() if name not in _OWN},
        )


_OWN = frozenset(
    {
        *("model", "request_id", "reasons", "reasons_left_out", "score", "decision", "threshold"),
        *("forecast", "quantiles", "class", "probabilities"),
    }
)


@dataclass(frozen=True)
class Found:
    """The answers of one key, as the service orders them."""

    entries: tuple[Prediction, ...]
    model: Model
    request_id: str
    known: bool | None = None
    """False: the key is not known, and the default answered. None: the service did not say."""
    as_of: str | None = None
    """Up to when the rows know the world, ISO 8601."""

    @classmethod
    def read(cls, content: Json) -> Self:
        """From a response whose one list holds the entries, whatever it is called."""
        entries = next(value for name, value in content.items() if isinstance(value, list) and name != "reasons")
        found = tuple(Prediction.read(entry, content) for entry in entries)
        model, request_id = Model.read(content["model"]), str(content["request_id"])
        return cls(found, model, request_id, content.get("known"), content.get("as_of"))


@dataclass(frozen=True)
class Readiness:
    """Whether a model answers. `status`: starting, ready or degraded; `problem`: why a newer one is not live."""

    ready: bool
    status: str
    model: Model | None
    problem: str | None
