"""The ASGI app that is mounted in the Bento service: /predict, readiness, OpenAPI and a page.

/predict is a bare ASGI callable: no request object, no pydantic, no DataFrame per request (design.md, section 8).
"""

import asyncio
import json
import re
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlplatform.serving.codec import dumps, loads
from mlplatform.serving.openapi import document
from mlplatform.serving.page import render
from mlplatform.serving.rows import MAX_PROBLEMS, Problem
from mlplatform.serving.scoring import Live, Slot

__all__ = ["Limits", "create_app", "readiness"]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# Beyond this many rows scoring leaves the event loop: short requests must not wait behind long ones.
INLINE_ROWS = 16


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 4 * 1024 * 1024
    rows: int = 5000


class _RefusedError(Exception):
    """A request that gets an error answer."""

    def __init__(self, status: int, error: str, **detail: Any) -> None:
        super().__init__(error)
        self.status = status
        self.content = {"error": error, **detail}


def create_app(slot: Slot, limits: Limits | None = None) -> Starlette:
    """The app over a slot; whatever the slot holds when a request begins answers it."""

    async def ready(_: Request) -> Response:
        return readiness(slot)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(slot.live)) if slot.live else readiness(slot)

    async def page(_: Request) -> Response:
        return HTMLResponse(render(slot.live)) if slot.live else readiness(slot)

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    return Starlette(
        routes=[
            Route("/predict", _Predict(slot, limits or Limits()), methods=["POST"]),
            Route("/", page),
            Route("/openapi.json", openapi),
            # Where BentoML's own tools look for it.
            Route("/docs.json", openapi),
            Route("/livez", alive),
            Route("/healthz", alive),
            Route("/readyz", ready),
        ]
    )


def readiness(slot: Slot) -> Response:
    """200 with the live model, 503 if there is none; a refused newer deployment shows as `problem`."""
    live = slot.live
    status = "starting" if live is None else "degraded" if slot.problem else "ready"
    content = {"status": status, "model": live.describe() if live else None, "problem": slot.problem}
    return JSONResponse(content, 200 if live else 503)


class _Predict:
    """POST /predict. A class, so that Starlette takes it as a bare ASGI app and wraps nothing around it."""

    def __init__(self, slot: Slot, limits: Limits) -> None:
        self._slot = slot
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        try:
            content = await self._answer(headers, receive)
            status = 200
        except _RefusedError as refused:
            status, content = refused.status, refused.content
        content["request_id"] = request_id
        await _respond(send, status, dumps(content), request_id)

    async def _answer(self, headers: dict[bytes, bytes], receive: Receive) -> dict[str, Any]:
        live = self._slot.live
        if live is None:
            raise _RefusedError(503, "no model is loaded yet; try again in a moment")
        if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise _RefusedError(415, "send JSON, with the header Content-Type: application/json")
        request = _parse(await _read_body(headers, receive, self._limits.body_bytes), self._limits.rows)
        matrix, problems = live.reader.read(request.rows)
        if problems:
            raise _invalid(problems)
        if len(request.rows) <= INLINE_ROWS:
            predictions = live.score(request.rows, matrix, request.explain)
        else:
            predictions = await asyncio.to_thread(live.score, request.rows, matrix, request.explain)
        return _shape(predictions, request.single, live)


@dataclass(frozen=True, slots=True)
class _Parsed:
    rows: list[Any]
    explain: bool
    single: bool


def _parse(body: bytes, max_rows: int) -> _Parsed:
    """Either {"rows": [{...}, ...]} or one object of features; both may say "explain"."""
    try:
        content = loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "the body is not valid JSON", detail=_where(error)) from None
    if type(content) is not dict:
        raise _RefusedError(422, 'send one object of features, or {"rows": [...]}')
    explain = content.pop("explain", True)
    if type(explain) is not bool:
        raise _RefusedError(422, '"explain" must be true or false')
    if "rows" not in content:
        return _Parsed([content], explain, single=True)
    return _Parsed(_batch(content, max_rows), explain, single=False)


def _batch(content: dict[str, Any], max_rows: int) -> list[Any]:
    rows = content["rows"]
    if len(content) > 1:
        raise _RefusedError(422, 'beside "rows" only "explain" is known; features belong into the rows')
    if type(rows) is not list or not rows:
        raise _RefusedError(422, '"rows" must be a list with at least one object of features')
    if len(rows) > max_rows:
        raise _RefusedError(413, f"{len(rows)} rows in one request; the limit is {max_rows}, send several requests")
    return rows


def _where(error: Exception) -> str:
    """Line and column of a JSON error, nothing of the input."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return "nested too deep, or not a JSON number"


def _invalid(problems: list[Problem]) -> _RefusedError:
    count = f"{MAX_PROBLEMS} or more" if len(problems) == MAX_PROBLEMS else str(len(problems))
    noun = "problem" if count == "1" else "problems"
    return _RefusedError(422, f"{count} {noun} in the rows", problems=[asdict(problem) for problem in problems])


def _shape(predictions: list[dict[str, Any]], single: bool, live: Live) -> dict[str, Any]:
    """One object in, one prediction out; rows in, a list out."""
    content = dict(predictions[0]) if single else {"predictions": predictions}
    content["model"] = live.describe()
    return content


async def _read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body. Stops reading at the limit, whatever the client announced."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _RefusedError(413, f"the body is larger than {limit} bytes; send fewer rows per request")
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(400, "the client went away before the body was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _RefusedError(413, f"the body is larger than {limit} bytes; send fewer rows per request")
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _request_id(sent: bytes | None) -> str:
    """The client's id if it is harmless in a log, else a new one."""
    if sent is not None and REQUEST_ID.fullmatch(sent):
        return sent.decode()
    return uuid4().hex


async def _respond(send: Send, status: int, body: bytes, request_id: str) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
