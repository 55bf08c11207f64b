"""Clients that never finish their headers: uvicorn has no time-out for them, and each holds a connection.

Three methods of uvicorn's protocol are wrapped: nothing that BentoML lets one configure comes before the headers. It
stands on `AutoHTTPProtocol`, `cycle` and `transport`; a test with a real service fails if one of them goes.
"""

import asyncio
from typing import Any

__all__ = ["HEADER_BYTES", "limit_headers"]

HEADER_BYTES = 64 * 1024
"""httptools has no limit of its own."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CLOCK = "_mlplatform_header_clock"
_SECONDS = "_mlplatform_header_seconds"


def limit_headers(seconds: float) -> None:
    """From now on this process closes a connection whose request headers take longer, or are too many.

    Again changes the time only.
    """
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    wrapped = hasattr(AutoHTTPProtocol, _SECONDS)
    setattr(AutoHTTPProtocol, _SECONDS, seconds)
    if not wrapped:
        _wrap(AutoHTTPProtocol)


def _wrap(protocol: Any) -> None:
    made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        setattr(self, _CLOCK, _Clock(transport, getattr(protocol, _SECONDS)))

    def data_received(self: Any, data: bytes) -> None:
        received(self, data)
        cycle, clock = self.cycle, getattr(self, _CLOCK)
        if cycle is not None and not cycle.response_complete:
            clock.stop()
        else:
            # Headers that are not complete, or what is left of a body that was answered early.
            clock.waits(0 if cycle is not None and cycle.more_body else len(data))

    def connection_lost(self: Any, exc: Exception | None) -> None:
        getattr(self, _CLOCK).stop()
        lost(self, exc)

    protocol.connection_made = connection_made
    protocol.data_received = data_received
    protocol.connection_lost = connection_lost


class _Clock:
    """Runs while a connection waits for the rest of the headers; of one that is only idle, uvicorn takes care."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.waits(0)

    def waits(self, size: int) -> None:
        """So many bytes more, and still no request."""
        self._size += size
        if self._size > HEADER_BYTES and not self._transport.is_closing():
            self._transport.write(_TOO_LARGE)
            self._transport.close()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._late)

    def stop(self) -> None:
        """A request is there."""
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self._transport.is_closing():
            self._transport.close()
