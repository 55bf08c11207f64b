"""From an HTTP body to rows of JSON objects, with limits. What is wrong with the values is a matter of `rows.py`."""

import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.types import Receive

from mlplatform.serving.codec import loads
from mlplatform.serving.limits import Limits, longer_text

__all__ = ["Limits", "Parsed", "RefusedError", "parse", "read_body", "request_id"]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RefusedError(Exception):
    """A request that gets an error answer."""

    def __init__(self, status: int, error: str, **detail: Any) -> None:
        super().__init__(error)
        self.status = status
        self.content = {"error": error, **detail}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was asked. `single`: the body was one object of features, not a list."""

    rows: list[Any]
    explain: bool
    single: bool


def parse(body: bytes, max_rows: int, max_text: int = Limits.text) -> Parsed:
    """Either {"rows": [{...}, ...]} or one object of features; both may say "explain"."""
    try:
        content = loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "the body is not valid JSON", detail=_where(error)) from None
    # No text is longer than the body, so that short requests are not searched.
    if len(body) > max_text and longer_text(content, max_text):
        raise RefusedError(413, f"a text of the body is longer than {max_text} characters")
    if type(content) is not dict:
        raise RefusedError(422, 'send one object of features, or {"rows": [...]}')
    explain = content.pop("explain", True)
    if type(explain) is not bool:
        raise RefusedError(422, '"explain" must be true or false')
    if "rows" not in content:
        return Parsed([content], explain, single=True)
    return Parsed(_batch(content, max_rows), explain, single=False)


def _batch(content: dict[str, Any], max_rows: int) -> list[Any]:
    rows = content["rows"]
    if len(content) > 1:
        raise RefusedError(422, 'beside "rows" only "explain" is known; features belong into the rows')
    if type(rows) is not list or not rows:
        raise RefusedError(422, '"rows" must be a list with at least one object of features')
    if len(rows) > max_rows:
        raise RefusedError(413, f"{len(rows)} rows in one request; the limit is {max_rows}, send several requests")
    return rows


def _where(error: Exception) -> str:
    """Line and column of a JSON error, nothing of the input."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return "nested too deep, or not a JSON number"


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body. Stops reading at the limit, whatever the client announced."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
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
