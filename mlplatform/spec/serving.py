"""How a service is asked: by features, by key, or by raw events."""

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared

__all__ = ["RequestLimits", "Serving"]


_TAKEN = {
    *("rows", "explain", "k"),
    *("score", "decision", "forecast", "quantiles", "reasons", "items", "forecasts", "predictions", "known", "as_of"),
}


class RequestLimits(Declared):
    """What one request to the service may hold, and cost; more rows, bytes or text are refused with 413."""

    body_bytes: PositiveInt = 4 * 1024 * 1024
    """Bytes of the body."""
    rows: PositiveInt = 5000
    """Rows in one request."""
    text: PositiveInt = 4096
    """Characters in one text, such as a key."""
    explanation_ms: PositiveInt = 50
    """Milliseconds. A request that does not say `explain` gets reasons where these are expected to take no longer; one
    that says `true` gets them in any case."""
    explained_rows: PositiveInt = 500
    """Rows in one request that says `explain: true`: reasons cost many times what scores do, and others wait."""


class Serving(Declared):
    """Requests by key: the feature rows of each key's newest event time travel with the model. Raw events: what an
    application sends is declared beside the feature SQL, in `meta.feature_query.asked_by`."""

    lookup: list[ColumnName] = []
    """Columns of the features that a request names instead of all features, such as the person. Empty: requests bring
    features."""
    show: list[ColumnName] = []
    """Columns of the features that are no features of the model and stand in the answer, such as a title."""
    default: dict[ColumnName, str | int] = {}
    """The key that answers for one that is not there, such as somebody without a history. Empty: that is an error."""
    skew_events: int = Field(default=200, ge=1, le=100_000)
    """Past events that are replayed through each new bento where it computes features itself: what it computes must be
    what the lake holds."""

    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that answer behind one port; `mlplatform serve --workers` says otherwise for once. Each holds the model
    and what it needs of the past, and has the limits of connections and bodies for itself."""
    limits: RequestLimits = RequestLimits()
    """What one request may hold."""

    @model_validator(mode="after")
    def _names_are_free(self) -> "Serving":
        if taken := sorted({*self.lookup, *self.show} & _TAKEN):
            raise ValueError(
                f"serving names {', '.join(taken)}, which requests and answers use themselves; rename them"
            )
        return self

    @model_validator(mode="after")
    def _default_is_a_key(self) -> "Serving":
        if self.default and set(self.default) != set(self.lookup):
            raise ValueError(
                f"serving.default names {', '.join(self.default)}; it must name the columns of serving.lookup: "
                f"{', '.join(self.lookup) or 'none are declared'}"
            )
        return self
