"""The ASGI app that is mounted in the Bento service: /predict, readiness, OpenAPI and a page.

/predict is a bare ASGI callable: no request object, no pydantic, no DataFrame per request (design.md, section 8).
"""

import asyncio
import logging
from dataclasses import asdict
from time import perf_counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlplatform.serving.codec import dumps
from mlplatform.serving.journal import Entry, Journal
from mlplatform.serving.openapi import document
from mlplatform.serving.page import render
from mlplatform.serving.request import Limits, Parsed, RefusedError, parse, read_body, request_id
from mlplatform.serving.rows import MAX_PROBLEMS, Problem
from mlplatform.serving.scoring import Answered, Live, ScoreError, Slot

__all__ = ["create_app", "readiness"]

logger = logging.getLogger(__name__)

# Beyond this many rows scoring leaves the event loop: short requests must not wait behind long ones.
INLINE_ROWS = 16
UNFORESEEN = "the service failed on this request; its log has the cause under the request id"


def create_app(slot: Slot, limits: Limits | None = None, journal: Journal | None = None) -> Starlette:
    """The app over a slot; whatever the slot holds when a request begins answers it. `journal` keeps the answers."""

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
            Route("/predict", _Predict(slot, limits or Limits(), journal), methods=["POST"]),
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

    def __init__(self, slot: Slot, limits: Limits, journal: Journal | None) -> None:
        self._slot = slot
        self._limits = limits
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers = dict(scope["headers"])
        identity = request_id(headers.get(b"x-request-id"))
        answered: tuple[Live, Answered] | None = None
        try:
            live, found = answered = await self._answer(headers, receive)
            status, body = 200, dumps({**found.content, "model": live.describe(), "request_id": identity})
        except RefusedError as refused:
            status, body = refused.status, dumps({**refused.content, "request_id": identity})
        except Exception as error:  # whatever fails, the client gets JSON with an id, and the log gets the rest
            logger.exception("Request %s failed", identity)
            sentence = str(error) if isinstance(error, ScoreError) else UNFORESEEN
            status, body = 500, dumps({"error": sentence, "request_id": identity})
        milliseconds = 1000 * (perf_counter() - started)
        # A client that has gone away got its answer all the same, as far as the model is concerned.
        if answered is not None and status == 200:
            self._remember(*answered, identity, milliseconds)
        await _respond(send, status, body, identity)

    async def _answer(self, headers: dict[bytes, bytes], receive: Receive) -> tuple[Live, Answered]:
        live = self._slot.live
        if live is None:
            raise RefusedError(503, "no model is loaded yet; try again in a moment")
        if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise RefusedError(415, "send JSON, with the header Content-Type: application/json")
        request = parse(await read_body(headers, receive, self._limits.body_bytes), self._limits.rows)
        lookup, features = live.bundle.lookup, live.bundle.model.features
        if request.single and lookup is not None and lookup.speaks_of(request.rows[0], features):
            return live, await _by_key(request, live)
        matrix, problems = live.reader.read(request.rows)
        if problems:
            raise _invalid(problems)
        if len(request.rows) <= INLINE_ROWS:
            predictions = live.score(request.rows, matrix, request.explain)
        else:
            predictions = await asyncio.to_thread(live.score, request.rows, matrix, request.explain)
        # One object in, one prediction out; rows in, a list out.
        content = predictions[0] if request.single else {"predictions": predictions}
        return live, Answered(content, request.rows, request.rows, predictions)

    def _remember(self, live: Live, answered: Answered, identity: str, milliseconds: float) -> None:
        settings = live.bundle.journal
        if self._journal is None or not settings.enabled:
            return
        about, features, answers = answered.about, answered.features, answered.answers
        self._journal.put(Entry(settings, identity, live.describe(), about, features, answers, milliseconds))


async def _by_key(request: Parsed, live: Live) -> Answered:
    """Some hundred rows are scored for one request, beside the event loop."""
    found = await asyncio.to_thread(live.look_up, request.rows[0], request.explain)
    if isinstance(found, str):
        raise RefusedError(422, found)
    return found


def _invalid(problems: list[Problem]) -> RefusedError:
    count = f"{MAX_PROBLEMS} or more" if len(problems) == MAX_PROBLEMS else str(len(problems))
    noun = "problem" if count == "1" else "problems"
    return RefusedError(422, f"{count} {noun} in the rows", problems=[asdict(problem) for problem in problems])


async def _respond(send: Send, status: int, body: bytes, identity: str) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", identity.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
