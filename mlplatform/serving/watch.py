"""The outermost layer of the app: every request is counted and timed, slow ones are logged, and spans made, if any."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlplatform.serving import laps
from mlplatform.serving.logs import LogSettings, Requests
from mlplatform.serving.traffic import SCORING, Traffic, route_of

if TYPE_CHECKING:
    from mlplatform.serving.tracing import Tracing

__all__ = ["Observer", "Watch"]

GONE = 499
"""nginx's number for a client that went away before it had an answer."""
_WATCHED = "mlplatform.watched"


@dataclass
class Observer:
    """What one worker keeps of its requests. `tracing`: None while no exporter is configured."""

    traffic: Traffic = field(default_factory=Traffic)
    log: LogSettings = field(default_factory=LogSettings)
    tracing: Tracing | None = None

    def __post_init__(self) -> None:
        self.requests = Requests(self.log)


class Watch:
    """ASGI middleware. Inside of another one it does nothing: the app may be mounted in a service that watches, too."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and look at the clock before and after."""
        if scope["type"] != "http" or _WATCHED in scope:
            await self._app(scope, receive, send)
            return
        scope[_WATCHED] = True
        observer, route = self._observer, route_of(scope["path"])
        answered = _Answered(send)
        kept: list[laps.Lap] = []
        token = laps.begin(kept)
        span = observer.tracing.begin(scope, route) if observer.tracing and route in SCORING else None
        began = perf_counter()
        try:
            await self._app(scope, receive, answered)
        except BaseException:
            answered.status = answered.status or 500
            raise
        finally:
            ended = perf_counter()
            laps.end(token)
            status = answered.status or GONE
            observer.traffic.count(route, status, ended - began, kept)
            observer.requests.tell(route, status, ended - began, kept, answered)
            if span is not None:
                span.end(status, kept, ended, answered.request_id)


class _Answered:
    """`send`, remembering the status and, for who asks, the request id that went out."""

    __slots__ = ("_headers", "_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = []
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = message.get("headers", [])
        await self._send(message)

    @property
    def request_id(self) -> str | None:
        found = (value.decode("latin-1") for name, value in self._headers if name == b"x-request-id")
        return next(found, None)
