"""What every request passes before, and every answer behind, the routes: BentoML's own ones included.

Where nothing is configured, it costs a look at the host name and the headers of the answer.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mlplatform.serving.exposure import Exposure
from mlplatform.serving.incoming import Incoming
from mlplatform.serving.outgoing import BEGUN, PROBES, UNFORESEEN, Outgoing
from mlplatform.serving.rate import Rate
from mlplatform.serving.refusals import RefusalError, after, refuse
from mlplatform.serving.request import RefusedError, request_id
from mlplatform.serving.security import Security

__all__ = ["TRUSTED", "Guard"]

logger = logging.getLogger(__name__)

TRUSTED = "mlplatform.trusted"
"""In the scope of a probe: False if its sender is not known and details are not for it."""
REQUEST_HEADERS = ("authorization", "content-type", "x-api-key", "x-request-id")


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security
        self._protection = security.protection
        self._exposure = None if security.authentication or self._protection.upstream else Exposure()
        per_second = self._protection.client_per_second
        self._rate = Rate(per_second, round(2 * per_second)) if per_second else None
        self._running = 0
        self._of_client: Counter[str] = Counter()
        self.held = 0
        self._entry: ASGIApp = self._guarded
        if origins := self._protection.origins:
            self._entry = CORSMiddleware(
                self._guarded,
                allow_origins=origins,
                allow_methods=("GET", "POST"),
                allow_headers=REQUEST_HEADERS,
                expose_headers=("x-request-id", "retry-after"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "http":
            reply = Outgoing(scope, send)
            await self._entry(scope, receive, reply)
        elif scope["type"] == "websocket":
            # Nothing here speaks it.
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            client = await self._admit(scope, headers)
            if client is None:
                await self._app(scope, receive, send)
            else:
                await self._counted(client, scope, receive, send)
        except RefusedError as refused:
            if scope.get(BEGUN):
                raise
            await refuse(send, refused, headers)
        except Exception:  # whatever fails, the client gets JSON with an id, and the log gets the rest
            identity = request_id(headers.get(b"x-request-id"))
            logger.exception("Request %s failed", identity)
            if scope.get(BEGUN):
                raise
            await refuse(send, RefusedError(500, UNFORESEEN), {b"x-request-id": identity.encode()})

    async def _admit(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str | None:
        """The client's name, or None for a probe. Raises RefusedError for whom nothing is answered."""
        path = scope["path"]
        if self._exposure is not None:
            problem = self._exposure.problem(scope, headers)
            if problem and path not in ("/livez", "/healthz"):
                raise self._turn_away("exposed", *problem)
        asked = self._security.authentication
        if asked is None:
            return None if path in PROBES else str((scope.get("client") or ("",))[0])
        client = await asked.client(headers)
        if path in PROBES:
            scope[TRUSTED] = client is not None
            return None
        if client is None and not (path == "/metrics" and self._protection.open_metrics):
            raise self._turn_away("unauthenticated", 401, _unknown(headers), (b"www-authenticate", _challenge(scope)))
        return client or ""

    async def _counted(self, client: str, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._protection
        if limits.concurrency and self._running >= limits.concurrency:
            raise self._turn_away("busy", 503, "too many requests at once; try again in a moment", after(1))
        if limits.client_concurrency and self._of_client[client] >= limits.client_concurrency:
            sentence = f"more than {limits.client_concurrency} requests of this client at once; wait for their answers"
            raise self._turn_away("client_busy", 429, sentence, after(1))
        if self._rate is not None and (wait := self._rate.wait(client)):
            sentence = f"more than {limits.client_per_second:g} requests of this client a second; send fewer"
            raise self._turn_away("rate", 429, sentence, after(wait))
        self._running += 1
        if limits.client_concurrency:
            self._of_client[client] += 1
        body = Incoming(self, receive, limits.body_seconds, limits.held_bytes)
        try:
            await self._app(scope, body, send)
        finally:
            self.held -= body.size
            self._running -= 1
            if limits.client_concurrency:
                self._leave(client)

    def _leave(self, client: str) -> None:
        self._of_client[client] -= 1
        if not self._of_client[client]:
            # The names of all who ever asked would fill the memory.
            del self._of_client[client]

    def _turn_away(self, reason: str, status: int, sentence: str, *headers: tuple[bytes, bytes]) -> RefusedError:
        self._security.refused[reason] += 1
        return RefusalError(status, sentence, headers)


def _unknown(headers: Mapping[bytes, bytes]) -> str:
    if b"authorization" in headers or b"x-api-key" in headers:
        return "this key or token is not valid here, or not any more"
    return "send an API key: the header Authorization: Bearer <key>, or X-API-Key"


def _challenge(scope: Mapping[str, Any]) -> bytes:
    """A browser that opens the page asks its user for the key (as the password); programs are told of the header."""
    asks_for_page = scope["method"] == "GET" and scope["path"] == "/"
    return b'Basic realm="the API key is the password", charset="UTF-8"' if asks_for_page else b"Bearer"
