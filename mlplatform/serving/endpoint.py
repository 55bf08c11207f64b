"""POST of JSON as a bare ASGI callable: no request object, no pydantic, no DataFrame per request (design.md, 8)."""

import logging
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

from starlette.types import Receive, Scope, Send

from mlplatform.serving import presence
from mlplatform.serving.answering import answer
from mlplatform.serving.canary import Part, Reply, answer_tried
from mlplatform.serving.codec import dumps
from mlplatform.serving.journal import Entry, Journal
from mlplatform.serving.laps import lap
from mlplatform.serving.outgoing import UNFORESEEN
from mlplatform.serving.request import (
    Limits,
    Parsed,
    RefusedError,
    parse,
    read_body,
    request_id,
    require_explicable,
    require_json,
    too_many,
)
from mlplatform.serving.scoring import Live, ScoreError, Slot
from mlplatform.serving.trial import Trial

__all__ = ["Predict", "PredictRows"]

logger = logging.getLogger(__name__)

LARGE = 65_536
"""Bytes of a body that arrives in parts, and takes milliseconds to parse: its client may have left meanwhile."""
_AGAIN = ((b"retry-after", b"1"),)
NO_MODEL = "no model is loaded yet; try again in a moment"


class Predict:
    """POST /predict. A class, so that Starlette takes it as a bare ASGI app and wraps nothing around it."""

    def __init__(self, slot: Slot, limits: Limits | None, journal: Journal | None, trial: Trial) -> None:
        self._slot = slot
        self._limits = limits
        self._journal = journal
        self._trial = trial

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: whatever happens, with JSON and a request id."""
        started = perf_counter()
        headers = dict(scope["headers"])
        identity = request_id(headers.get(b"x-request-id"))
        reply: Reply | None = None
        try:
            reply = await self._answer(headers, receive, identity)
            status = 200
            body = reply.parts[0].live.stamped(reply.content, identity)
        except presence.GoneError:
            return
        except RefusedError as refused:
            status, body = refused.status, dumps({**self.told(refused), "request_id": identity})
        except Exception as error:  # whatever fails, the client gets JSON with an id, and the log gets the rest
            logger.exception("Request %s failed", identity, extra={"event": "request_failed", "request_id": identity})
            sentence = str(error) if isinstance(error, ScoreError) else UNFORESEEN
            status, body = 500, dumps({"error": sentence, "request_id": identity})
        milliseconds = 1000 * (perf_counter() - started)
        # A client that has gone since the work began got its answer all the same, as far as the model is concerned.
        if reply is not None and status == 200:
            self._remember(reply, identity, milliseconds)
        await _respond(send, status, body, identity)
        if reply is not None and reply.afterwards and status == 200:
            reply.afterwards(milliseconds)

    async def _answer(self, headers: dict[bytes, bytes], receive: Receive, identity: str) -> Reply:
        live = self._slot.live
        if live is None:
            raise RefusedError(503, NO_MODEL)
        require_json(headers)
        body = await read_body(headers, receive, self.limits_of(live).body_bytes)
        if len(body) > LARGE:
            presence.require_client(receive)
        client = presence.begin(receive)
        try:
            began = perf_counter()
            request = self.parsed(live, body)
            require_explicable(request, self.limits_of(live).explained_rows)
            lap("parse", began)
            return _told_of_reasons(request, await self.reply(live, request, identity))
        finally:
            presence.end(client)

    def limits_of(self, live: Live) -> Limits:
        """What one request may hold: as the bundle says, if nothing else was said."""
        return self._limits or live.bundle.limits

    def parsed(self, live: Live, body: bytes) -> Parsed:
        """Raises RefusedError if the body is none."""
        return parse(body, self.limits_of(live), len(live.reader.names))

    def told(self, refused: RefusedError) -> dict[str, Any]:
        """What a client reads of a request that is refused, but for the id."""
        return refused.content

    async def reply(self, live: Live, request: Parsed, identity: str) -> Reply:
        """What goes out for a request that could be read; raises as `answer` does."""
        if self._trial.challenge is None:
            answered = await answer(live, request)
            return Reply(answered.content, (Part(live, answered),))
        return await answer_tried(self._trial, live, request, identity)

    async def answer_other(self, request: Callable[[Live], Parsed], identity: str) -> Reply:
        """What another protocol asks, by the rules of this one: limits, challenger, journal.

        `request`: makes the request for the live model. Raises RefusedError, and as `reply` does.
        """
        started = perf_counter()
        live = self._slot.live
        if live is None:
            raise RefusedError(503, NO_MODEL)
        asked = request(live)
        lap("parse", started)
        limits = self.limits_of(live)
        if len(asked.rows) > limits.rows:
            raise too_many(len(asked.rows), limits.rows)
        require_explicable(asked, limits.explained_rows)
        reply = await self.reply(live, asked, identity)
        milliseconds = 1000 * (perf_counter() - started)
        self._remember(reply, identity, milliseconds)
        if reply.afterwards:
            reply.afterwards(milliseconds)
        return reply

    def _remember(self, reply: Reply, identity: str, milliseconds: float) -> None:
        if self._journal is None:
            return
        began = perf_counter()
        for live, said, role in reply.parts:
            settings = live.bundle.journal
            if settings.enabled:
                model = live.describe()
                self._journal.put(
                    Entry(settings, identity, model, said.about, said.features, said.answers, milliseconds, role)
                )
        lap("journal", began)


class PredictRows(Predict):
    """POST /predict_rows: rows to /predict, for BentoML's clients, which find it declared in `service.py`.

    Answered here, since BentoML's own layers cost four times as much, read bodies of any size and quote them in errors.
    """

    def parsed(self, live: Live, body: bytes) -> Parsed:
        """Raises RefusedError if the body is no list of rows. Reasons are given only to who asks for them."""
        request = super().parsed(live, body)
        if request.single:
            raise RefusedError(422, 'send {"rows": [...]}; one object of features goes to /predict')
        return replace(request, explain=request.explain is True)

    def told(self, refused: RefusedError) -> dict[str, Any]:
        """BentoML's clients show the sentence only."""
        return {**refused.content, "error": refused.sentence()}


def _told_of_reasons(request: Parsed, reply: Reply) -> Reply:
    """Say it where reasons were left out that a smaller request would have got."""
    if request.explain is not None:
        return reply
    # A challenger decides for its own rows.
    without = [part for part in reply.parts if part.answered.answers and "reasons" not in part.answered.answers[0]]
    if not without:
        return reply
    rows, limit = sum(len(part.answered.answers) for part in without), without[0].live.bundle.limits.explanation_ms
    why = f'of {rows} rows they may take longer than {limit} ms; ask for them with "explain": true, or send fewer rows'
    return reply._replace(content={**reply.content, "reasons_left_out": why})


async def _respond(send: Send, status: int, body: bytes, identity: str) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", identity.encode()),
        (b"x-content-type-options", b"nosniff"),
        *(_AGAIN if status == 503 else ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
