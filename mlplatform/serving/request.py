"""From an HTTP body to rows of JSON objects, with limits. What is wrong with the values is a matter of `rows.py`."""

import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from starlette.types import Receive

from mlplatform.serving.codec import loads
from mlplatform.serving.limits import Limits, longer_text
from mlplatform.serving.values import holds_more_values

__all__ = [
    "Limits",
    "Parsed",
    "RefusedError",
    "as_rows",
    "parse",
    "read_body",
    "request_id",
    "require_explicable",
    "require_few_values",
    "require_json",
    "too_long",
    "too_many",
    "whole_number",
]

Option = TypeVar("Option", bool, None)
PROBLEMS_SHOWN = 5
_MOST_DIGITS = 18
_SHORT = 4096
"""Bytes that cannot hold enough values to be counted."""
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RefusedError(Exception):
    """A request that gets an error answer."""

    def __init__(self, status: int, error: str, **detail: Any) -> None:
        super().__init__(error)
        self.status = status
        self.content = {"error": error, **detail}

    def sentence(self) -> str:
        """One text, with the first problems, for clients that show no more."""
        problems = self.content.get("problems", [])[:PROBLEMS_SHOWN]
        return "; ".join(
            [str(self), *(f"row {p['row']}, {p['field']} {p['problem']} ({p['allowed']})" for p in problems)]
        )


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was asked. `explain` None: not said, so reasons are given where they are cheap. `single`: the body was one
    object, not a list; `remember`: events have happened, see /score."""

    rows: list[Any]
    explain: bool | None
    single: bool
    remember: bool = True


def parse(body: bytes, limits: Limits, fields: int, *, of_events: bool = False) -> Parsed:
    """Either {"rows": [{...}, ...]} or one object; both may say "explain", and of events "remember".

    `fields`: how many a row may have.
    """
    if len(body) > _SHORT:
        require_few_values(body, limits, fields)
    try:
        content = loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "the body is not valid JSON", detail=_where(error)) from None
    # No text is longer than the body, so that short requests are not searched.
    if len(body) > limits.text and longer_text(content, limits.text):
        raise too_long(limits.text)
    if type(content) is not dict:
        raise RefusedError(422, 'send one object of features, or {"rows": [...]}')
    explain = _option(content, "explain", None)
    remember = _option(content, "remember", True) if of_events else True
    if "rows" not in content:
        return Parsed([content], explain, single=True, remember=remember)
    return Parsed(_batch(content, limits.rows), explain, single=False, remember=remember)


def as_rows(rows: list[Any], explain: bool) -> Parsed:
    """A request that came as rows already; raises RefusedError if there are none."""
    if not rows:
        raise RefusedError(422, '"rows" must be a list with at least one object of features')
    return Parsed(rows, explain, single=False)


def require_few_values(body: bytes, limits: Limits, fields: int) -> None:
    """Raises RefusedError if JSON holds more values than the most rows could need; before anything is made of it."""
    if holds_more_values(body, limits.values(fields)):
        raise RefusedError(
            413,
            f"the body holds more values than {limits.rows} rows of {fields} fields need; "
            "leave out what is no field, or send several requests",
        )


def require_json(headers: dict[bytes, bytes]) -> None:
    """Raises RefusedError unless the body says that it is JSON."""
    kind, _, parameter = headers.get(b"content-type", b"").lower().partition(b";")
    if kind.strip() != b"application/json":
        raise RefusedError(415, "send JSON, with the header Content-Type: application/json")
    if parameter and b"charset" in parameter and b"utf-8" not in parameter:
        raise RefusedError(415, "send JSON in UTF-8")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise RefusedError(415, "send JSON as it is, not compressed")


def _option(content: dict[str, Any], name: str, unsaid: Option) -> bool | Option:
    if name not in content:
        return unsaid
    chosen = content.pop(name)
    if type(chosen) is not bool:
        raise RefusedError(422, f'"{name}" must be true or false')
    return chosen


def _batch(content: dict[str, Any], max_rows: int) -> list[Any]:
    rows = content["rows"]
    if len(content) > 1:
        raise RefusedError(
            422, 'beside "rows" only options such as "explain" are known; all else belongs into the rows'
        )
    if type(rows) is not list or not rows:
        raise RefusedError(422, '"rows" must be a list with at least one object of features')
    if len(rows) > max_rows:
        raise too_many(len(rows), max_rows)
    return rows


def require_explicable(request: Parsed, limit: int) -> None:
    """Raises RefusedError if reasons are asked for, by name, of more rows than the limit."""
    if request.explain and len(request.rows) > limit:
        raise RefusedError(
            413,
            f"reasons of {len(request.rows)} rows in one request; the limit is {limit}, send several requests, or "
            '"explain": false',
        )


def too_many(rows: int, limit: int) -> RefusedError:
    """What a request with more rows than the limit gets."""
    return RefusedError(413, f"{rows} rows in one request; the limit is {limit}, send several requests")


def too_long(limit: int) -> RefusedError:
    """What a request with a longer text than the limit gets."""
    return RefusedError(413, f"a text of the body is longer than {limit} characters")


def whole_number(text: bytes, otherwise: int) -> int:
    """Of a header; `otherwise` where it is none. Python refuses to read thousands of digits, zeros included."""
    if not text.isdigit():
        return otherwise
    digits = text.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _where(error: Exception) -> str:
    """Line and column of a JSON error, nothing of the input."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return "nested too deep, or not a JSON number"


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body. Stops reading at the limit, whatever the client announced."""
    announced = headers.get(b"content-length", b"0")
    if whole_number(announced, 0) > limit:
        raise RefusedError(413, f"the body is larger than {limit} bytes; send fewer rows per request")
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the client went away before the body was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise RefusedError(413, f"the body is larger than {limit} bytes; send fewer rows per request")
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def request_id(sent: bytes | None) -> str:
    """The client's id if it is harmless in a log, else a new one."""
    if sent is not None and REQUEST_ID.fullmatch(sent):
        return sent.decode()
    return uuid4().hex
