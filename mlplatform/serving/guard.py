"""What every request passes before, and every answer behind, the routes: BentoML's own ones included.

Where nothing is configured, it costs a look at the host name and the headers of the answer.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlplatform.serving.codec import dumps
from mlplatform.serving.exposure import Exposure
from mlplatform.serving.rate import Rate
from mlplatform.serving.request import RefusedError, request_id
from mlplatform.serving.security import Security

__all__ = ["PROBES", "TRUSTED", "Guard"]

logger = logging.getLogger(__name__)

PROBES = frozenset({"/livez", "/healthz", "/readyz"})
"""Asked by what restarts and routes, which carries no key: answered for anybody, in few words."""
TRUSTED = "mlplatform.trusted"
"""In the scope of a probe: False if its sender is not known and details are not for it."""
_BEGUN = "mlplatform.begun"
REQUEST_HEADERS = ("authorization", "content-type", "x-api-key", "x-request-id")
UNFORESEEN = "the service failed on this request; its log has the cause under the request id"
SECURE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""On each answer that does not say otherwise itself."""
WORDS = {
    400: "the request is not understood",
    404: "there is nothing at this address; /openapi.json says what there is",
    405: "this address does not take this method; /openapi.json says which",
    500: UNFORESEEN,
    503: "the service cannot answer now; try again in a moment",
}


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
            reply = _Reply(scope, send)
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
            if scope.get(_BEGUN):
                raise
            await _refuse(send, refused, headers)
        except Exception:  # whatever fails, the client gets JSON with an id, and the log gets the rest
            identity = request_id(headers.get(b"x-request-id"))
            logger.exception("Request %s failed", identity)
            if scope.get(_BEGUN):
                raise
            await _refuse(send, RefusedError(500, UNFORESEEN), {b"x-request-id": identity.encode()})

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
            raise self._turn_away("busy", 503, "too many requests at once; try again in a moment", _after(1))
        if limits.client_concurrency and self._of_client[client] >= limits.client_concurrency:
            sentence = f"more than {limits.client_concurrency} requests of this client at once; wait for their answers"
            raise self._turn_away("client_busy", 429, sentence, _after(1))
        if self._rate is not None and (wait := self._rate.wait(client)):
            sentence = f"more than {limits.client_per_second:g} requests of this client a second; send fewer"
            raise self._turn_away("rate", 429, sentence, _after(wait))
        self._running += 1
        if limits.client_concurrency:
            self._of_client[client] += 1
        body = _Body(self, receive, limits.body_seconds, limits.held_bytes)
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
        return _RefusalError(status, sentence, headers)


class _RefusalError(RefusedError):
    """With headers of its own."""

    def __init__(self, status: int, error: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, error)
        self.headers = headers


class _Body:
    """`receive` with a deadline for the whole body, and a count of what is held of all of them."""

    def __init__(self, guard: Guard, receive: Receive, seconds: float, most: int) -> None:
        self._guard = guard
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._most = most
        self._complete = False
        self.size = 0

    async def __call__(self) -> Message:
        """The next part. Raises RefusedError when it is late or there is no room."""
        if self._complete:
            # From now on one waits for the client to go away, which may take as long as it likes.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise RefusedError(408, "the body took too long to arrive; send it in one go") from None
        if message.get("more_body"):
            size = len(message.get("body", b""))
            self.size += size
            self._guard.held += size
            if self._most and self._guard.held > self._most:
                raise _RefusalError(503, "too much is being sent at once; try again in a moment", (_after(1),))
        else:
            self._complete = True
        return message


class _Reply:
    """`send` that adds what is missing to the headers, and replaces errors that others than this platform wrote.

    Theirs are plain text, may quote the request, and carry no request id: by that they are known.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        """Pass on."""
        if message["type"] == "http.response.start":
            self._scope[_BEGUN] = True
            headers = list(message["headers"])
            names = {name.lower() for name, _ in headers}
            status = message["status"]
            if status >= 300 and status != 304 and b"x-request-id" not in names and self._scope["path"] not in PROBES:
                await self._replace(status, headers)
                return
            headers += [each for each in SECURE if each[0] not in names]
            if status in (408, 413):
                # What is left of the body will not be read.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._replaced:
            return
        await self._send(message)

    async def _replace(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        # A redirect would be made of the host name that the client sent; nothing here redirects on purpose.
        status = status if status >= 400 else 404
        kept = [each for each in headers if each[0].lower() in (b"allow", b"vary") or each[0].startswith(b"access-")]
        refusal = _RefusalError(status, WORDS.get(status, WORDS[400] if status < 500 else WORDS[500]), tuple(kept))
        await _refuse(self, refusal, dict(self._scope["headers"]))
        self._replaced = True


async def _refuse(send: Send, refused: RefusedError, headers: Mapping[bytes, bytes]) -> None:
    identity = request_id(headers.get(b"x-request-id"))
    body = dumps({**refused.content, "request_id": identity})
    sent: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", identity.encode()),
        *(refused.headers if isinstance(refused, _RefusalError) else ()),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


def _unknown(headers: Mapping[bytes, bytes]) -> str:
    if b"authorization" in headers or b"x-api-key" in headers:
        return "this key or token is not valid here, or not any more"
    return "send an API key: the header Authorization: Bearer <key>, or X-API-Key"


def _challenge(scope: Mapping[str, Any]) -> bytes:
    """A browser that opens the page asks its user for the key (as the password); programs are told of the header."""
    asks_for_page = scope["method"] == "GET" and scope["path"] == "/"
    return b'Basic realm="the API key is the password", charset="UTF-8"' if asks_for_page else b"Bearer"


def _after(seconds: int) -> tuple[bytes, bytes]:
    return b"retry-after", str(seconds).encode()
