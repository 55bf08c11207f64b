"""The ASGI app that is mounted in the Bento service: /predict, readiness, OpenAPI and a page.

/predict is a bare ASGI callable: no request object, no pydantic, no DataFrame per request (design.md, section 8).
"""

import logging
from time import perf_counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlplatform.serving.answering import INLINE_ROWS, answer
from mlplatform.serving.canary import Part, Reply, answer_tried
from mlplatform.serving.codec import dumps
from mlplatform.serving.csp import page_policy
from mlplatform.serving.journal import Entry, Journal
from mlplatform.serving.openapi import document
from mlplatform.serving.page import render
from mlplatform.serving.request import Limits, RefusedError, parse, read_body, request_id
from mlplatform.serving.scoring import ScoreError, Slot
from mlplatform.serving.trial import Trial

__all__ = ["INLINE_ROWS", "create_app", "readiness"]

logger = logging.getLogger(__name__)

UNFORESEEN = "the service failed on this request; its log has the cause under the request id"


def create_app(
    slot: Slot, limits: Limits | None = None, journal: Journal | None = None, trial: Trial | None = None
) -> Starlette:
    """The app over a slot; whatever the slot holds when a request begins answers it. `journal` keeps the answers.

    `limits`: instead of those of the bundle. `trial`: the challenger beside it, if there is one.
    """
    trial = trial or Trial()

    async def ready(_: Request) -> Response:
        return readiness(slot, trial)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(slot.live)) if slot.live else readiness(slot, trial)

    async def page(_: Request) -> Response:
        if slot.live is None:
            return readiness(slot, trial)
        html = render(slot.live)
        return HTMLResponse(html, headers={"content-security-policy": page_policy(html)})

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    return Starlette(
        routes=[
            Route("/predict", _Predict(slot, limits, journal, trial), methods=["POST"]),
            Route("/", page),
            Route("/openapi.json", openapi),
            # Where BentoML's own tools look for it.
            Route("/docs.json", openapi),
            Route("/livez", alive),
            Route("/healthz", alive),
            Route("/readyz", ready),
        ]
    )


def readiness(slot: Slot, trial: Trial | None = None, detailed: bool = True) -> Response:
    """200 with the live model, 503 if there is none; a refused newer deployment shows as `problem`.

    Not `detailed`: the status only, for whom nobody knows.

    A challenger is told of, and changes nothing: it is never what a service is ready by.
    """
    live = slot.live
    status = "starting" if live is None else "degraded" if slot.problem else "ready"
    if not detailed:
        return JSONResponse({"status": status}, 200 if live else 503)
    content: dict[str, Any] = {"status": status, "model": live.describe() if live else None, "problem": slot.problem}
    if trial and (challenger := trial.describe()):
        content["challenger"] = challenger
    return JSONResponse(content, 200 if live else 503)


class _Predict:
    """POST /predict. A class, so that Starlette takes it as a bare ASGI app and wraps nothing around it."""

    def __init__(self, slot: Slot, limits: Limits | None, journal: Journal | None, trial: Trial) -> None:
        self._slot = slot
        self._limits = limits
        self._journal = journal
        self._trial = trial

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers = dict(scope["headers"])
        identity = request_id(headers.get(b"x-request-id"))
        reply: Reply | None = None
        try:
            reply = await self._answer(headers, receive, identity)
            status = 200
            body = dumps({**reply.content, "model": reply.parts[0].live.describe(), "request_id": identity})
        except RefusedError as refused:
            status, body = refused.status, dumps({**refused.content, "request_id": identity})
        except Exception as error:  # whatever fails, the client gets JSON with an id, and the log gets the rest
            logger.exception("Request %s failed", identity)
            sentence = str(error) if isinstance(error, ScoreError) else UNFORESEEN
            status, body = 500, dumps({"error": sentence, "request_id": identity})
        milliseconds = 1000 * (perf_counter() - started)
        # A client that has gone away got its answer all the same, as far as the model is concerned.
        if reply is not None and status == 200:
            self._remember(reply, identity, milliseconds)
        await _respond(send, status, body, identity)
        if reply is not None and reply.afterwards and status == 200:
            reply.afterwards(milliseconds)

    async def _answer(self, headers: dict[bytes, bytes], receive: Receive, identity: str) -> Reply:
        live = self._slot.live
        if live is None:
            raise RefusedError(503, "no model is loaded yet; try again in a moment")
        if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise RefusedError(415, "send JSON, with the header Content-Type: application/json")
        limits = self._limits or live.bundle.limits
        request = parse(await read_body(headers, receive, limits.body_bytes), limits.rows, limits.text)
        if self._trial.challenge is None:
            answered = await answer(live, request)
            return Reply(answered.content, (Part(live, answered),))
        return await answer_tried(self._trial, live, request, identity)

    def _remember(self, reply: Reply, identity: str, milliseconds: float) -> None:
        if self._journal is None:
            return
        for live, said, role in reply.parts:
            settings = live.bundle.journal
            if settings.enabled:
                model = live.describe()
                self._journal.put(
                    Entry(settings, identity, model, said.about, said.features, said.answers, milliseconds, role)
                )


async def _respond(send: Send, status: int, body: bytes, identity: str) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", identity.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
