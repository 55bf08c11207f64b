"""What is sent and what an answer means, without any sending: the two clients share all of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx

from mlplatform.client.answers import Model, Prediction, Readiness
from mlplatform.client.errors import (
    BusyError,
    CallError,
    InvalidRequestError,
    Problem,
    RefusedKeyError,
    ServerError,
    UnreachableError,
)
from mlplatform.client.retry import RETRIED, retry_after

__all__ = [
    "MAX_EVENTS",
    "MAX_EXPLAINED",
    "Call",
    "Row",
    "content_of",
    "failure",
    "many",
    "one",
    "predictions",
    "readiness",
]

Row = Mapping[str, Any]

MAX_EVENTS = 256
"""Of one request to /score."""
MAX_EXPLAINED = 500
"""Rows of one request that asks for reasons, where the use case declares nothing else (`serving.limits`)."""


@dataclass(frozen=True)
class Call:
    """One POST. `first_row`: position of its first row in what the caller passed."""

    path: str
    body: bytes
    request_id: str
    first_row: int = 0

    def headers(self) -> dict[str, str]:
        """The same for each attempt, so that the service's log and journal know them as one request."""
        return {"Content-Type": "application/json", "X-Request-ID": self.request_id}


def one(path: str, row: Row, request_id: str | None, **options: bool) -> Call:
    """A call of one object, `options` beside its fields unless it says them itself.

    Raises ValueError for what JSON cannot hold.
    """
    return Call(path, _encoded({**options, **row}, 0), request_id or uuid4().hex)


def many(
    path: str, rows: Iterable[Row], request_id: str | None, most_rows: int, most_bytes: int, **options: bool
) -> list[Call]:
    """Calls of chunks in order; the ids of several are numbered. Raises ValueError for what JSON cannot hold."""
    identity = request_id or uuid4().hex
    rest = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in options.items()).encode()
    calls = [
        Call(path, b'{"rows":[' + b",".join(chunk) + b"]" + rest + b"}", f"{identity}-{number}", first)
        for number, (first, chunk) in enumerate(_chunks(rows, most_rows, most_bytes))
    ]
    return calls if len(calls) > 1 else [replace(call, request_id=identity) for call in calls]


def content_of(call: Call, outcome: httpx.Response | httpx.TransportError, attempts: int) -> dict[str, Any]:
    """The JSON object of a good answer; raises the CallError that the outcome stands for."""
    if isinstance(outcome, httpx.TransportError):
        raise UnreachableError(
            f"no answer: {outcome or type(outcome).__name__}", request_id=call.request_id, attempts=attempts
        ) from outcome
    content = _json(outcome)
    if not outcome.is_success or content is None:
        raise failure(call, outcome, content, attempts)
    return content


def failure(call: Call, response: httpx.Response, content: Mapping[str, Any] | None, attempts: int) -> CallError:
    """The error of a response that is no answer."""
    status, said = response.status_code, (content or {}).get("error") or f"status {response.status_code}"
    identity = str((content or {}).get("request_id") or call.request_id)
    if status in RETRIED:
        after = retry_after(response)
        return BusyError(said, request_id=identity, status=status, attempts=attempts, retry_after=after)
    if status in (401, 403):
        return RefusedKeyError(said, request_id=identity, status=status)
    if 400 <= status < 500:
        problems = tuple(
            Problem(p["row"] + call.first_row, p["field"], p["problem"], p["allowed"])
            for p in (content or {}).get("problems", ())
        )
        return InvalidRequestError(said, problems, request_id=identity, status=status)
    said = said if status >= 300 else f"status {status}, but not the JSON of a prediction service; is the URL right?"
    return ServerError(said, request_id=identity, status=status, attempts=attempts)


def predictions(content: Mapping[str, Any]) -> list[Prediction]:
    """Of many rows, in their order."""
    return [Prediction.read(each, content) for each in content["predictions"]]


def readiness(response: httpx.Response) -> Readiness:
    """Of /readyz: 503 is an answer, too. Raises ServerError where something else answered."""
    content = _json(response)
    if content is None or "status" not in content:
        raise ServerError(
            f"status {response.status_code}, and no readiness", request_id="-", status=response.status_code
        )
    model = content.get("model")
    return Readiness(
        response.status_code == 200, content["status"], Model.read(model) if model else None, content.get("problem")
    )


def _json(response: httpx.Response) -> dict[str, Any] | None:
    try:
        content = response.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _chunks(rows: Iterable[Row], most_rows: int, most_bytes: int) -> Iterator[tuple[int, Sequence[bytes]]]:
    first, chunk, size = 0, list[bytes](), 0
    for number, row in enumerate(rows):
        encoded = _encoded(row, number)
        if chunk and (len(chunk) >= most_rows or size + len(encoded) > most_bytes):
            yield first, chunk
            first, chunk, size = number, [], 0
        chunk.append(encoded)
        size += len(encoded) + 1
    if chunk:
        yield first, chunk


def _encoded(row: Row, number: int) -> bytes:
    try:
        return json.dumps(dict(row), allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"row {number} cannot be sent as JSON: {error}; a missing value is None, not NaN") from error


def _plain(value: Any) -> Any:
    """Dates as ISO 8601, numbers of numpy as numbers, without importing numpy."""
    for method in ("isoformat", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{type(value).__name__} is no JSON")
