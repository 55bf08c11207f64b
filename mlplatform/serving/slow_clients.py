"""Clients that never finish their headers, send too many of them, or never read their answer: each holds a connection,
and uvicorn has neither a time-out nor a limit for them.

Some methods of uvicorn's protocol are wrapped: nothing that BentoML lets one configure comes before the headers. It
stands on `AutoHTTPProtocol` with httptools, its `cycle`, `transport`, `url` and `headers`; tests with a real service
fail if one of them goes.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mlplatform.serving.security import Protection
from mlplatform.serving.slow_readers import Readers

__all__ = ["HEADER_BYTES", "limit_connections"]

HEADER_BYTES = 64 * 1024
"""Of names and values of all headers, and the address."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LINE = len(b": \r\n")
_RULES = "_mlplatform_rules"
_CLOCK = "_mlplatform_header_clock"


class HeadersTooLargeError(Exception):
    """Ends the parser's work; the answer has been given."""


@dataclass
class _Rules:
    protection: Protection
    refused: Counter[str]
    readers: Readers = field(init=False)

    def __post_init__(self) -> None:
        self.readers = Readers(self.protection.answer_seconds, self.protection.held_bytes, self.refused)


def limit_connections(protection: Protection, refused: Counter[str]) -> None:
    """From now on this process closes connections of clients that are too slow, or whose headers are too large.

    `refused`: counts them, by reason. Again changes the rules of new connections only.
    """
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    wrapped = hasattr(AutoHTTPProtocol, _RULES)
    setattr(AutoHTTPProtocol, _RULES, _Rules(protection, refused))
    if not wrapped:
        for wrap in (_wrap_life, _wrap_clock, _wrap_parser):
            wrap(AutoHTTPProtocol)
        # Nothing here speaks it, and an upgrade would take the connection, and its limits, from us.
        setattr(AutoHTTPProtocol, "_should_upgrade_to_ws", lambda _: False)  # noqa: B010


def _wrap_life(protocol: Any) -> None:
    made, lost = protocol.connection_made, protocol.connection_lost

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        rules = getattr(protocol, _RULES)
        setattr(self, _CLOCK, _Clock(transport, rules))
        rules.readers.add(self)

    def connection_lost(self: Any, exc: Exception | None) -> None:
        clock = getattr(self, _CLOCK)
        clock.stop()
        clock.rules.readers.remove(self)
        for cycle in clock.overtaken:
            # uvicorn tells the newest only, and the others would write to what is closed.
            cycle.disconnected = True
            cycle.message_event.set()
        lost(self, exc)

    protocol.connection_made, protocol.connection_lost = connection_made, connection_lost


def _wrap_clock(protocol: Any) -> None:
    received = protocol.data_received

    def data_received(self: Any, data: bytes) -> None:
        before = self.cycle
        is_body = before is not None and before.more_body
        received(self, data)
        cycle, clock = self.cycle, getattr(self, _CLOCK)
        answering = cycle is not None and not cycle.response_complete
        if cycle is before and not is_body:
            # Headers that are not complete, maybe behind a request that is being answered.
            clock.waits(len(data), at_rest=not answering)
        elif answering:
            clock.stop()
        else:
            # What is left of a body that was answered early.
            clock.waits(0)

    protocol.data_received = data_received


def _wrap_parser(protocol: Any) -> None:
    complete, invalid = protocol.on_headers_complete, protocol.send_400_response

    def on_headers_complete(self: Any) -> None:
        if len(self.url) + sum(len(name) + len(value) + _LINE for name, value in self.headers) > HEADER_BYTES:
            getattr(self, _CLOCK).refuse()
            raise HeadersTooLargeError
        before = self.cycle
        complete(self)
        if before is not None and not before.response_complete:
            clock = getattr(self, _CLOCK)
            clock.overtaken = [cycle for cycle in (*clock.overtaken, before) if not cycle.response_complete]

    def send_400_response(self: Any, msg: str) -> None:
        if not self.transport.is_closing():
            invalid(self, msg)

    protocol.on_headers_complete, protocol.send_400_response = on_headers_complete, send_400_response


class _Clock:
    """Runs while a connection waits for the rest of the headers; of one that is only idle, uvicorn takes care."""

    def __init__(self, transport: asyncio.Transport, rules: _Rules) -> None:
        self._transport = transport
        self.rules = rules
        self.overtaken: list[Any] = []
        """Requests that are not answered yet, behind which the next one has come on the same connection."""
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.waits(0)

    def waits(self, size: int, *, at_rest: bool = True) -> None:
        """So many bytes more, and still no request. `at_rest`: nothing else is being answered meanwhile."""
        self._size += size
        if self._size > HEADER_BYTES:
            self.refuse()
        if at_rest and self._timer is None:
            seconds = self.rules.protection.header_seconds
            self._timer = asyncio.get_running_loop().call_later(seconds, self._late)

    def refuse(self) -> None:
        """Say that it is too much, and close."""
        if not self._transport.is_closing():
            self.rules.refused["headers"] += 1
            self._transport.write(_TOO_LARGE)
            self._transport.close()

    def stop(self) -> None:
        """A request is there."""
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self._transport.is_closing():
            self.rules.refused["slow"] += bool(self._size)
            self._transport.close()
