"""Clients that do not read their answer: it stays in this process's memory, and its connection stays open for ever.

Looked for once a second over all connections, so that an answer that is read costs nothing.
"""

import asyncio
from collections import Counter
from typing import Any, Protocol

__all__ = ["EVERY_SECONDS", "Connection", "Readers"]

EVERY_SECONDS = 1.0


class Connection(Protocol):
    """What is needed of uvicorn's protocol."""

    transport: asyncio.Transport
    cycle: Any
    """The newest request of the connection and its answer."""


class Readers:
    """The connections of one event loop."""

    def __init__(self, seconds: float, most_bytes: int, refused: Counter[str]) -> None:
        """`seconds`: for a client to take its whole answer; `most_bytes`: of all answers that wait (0: no limit).

        `refused`: counts who was cut off, as `unread`.
        """
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._refused = refused
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, tuple[Any, float]] = {}
        """Whose answer waits: for which request, and since when."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """A connection has been made."""
        self._open.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every(), self._look)

    def remove(self, connection: Connection) -> None:
        """It is gone."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def _every(self) -> float:
        return min(EVERY_SECONDS, self._seconds / 2)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        # Without connections nothing runs.
        self._timer = loop.call_later(self._every(), self._look) if self._open else None
        self.look(loop.time())

    def look(self, now: float) -> None:
        """Cut off who is too slow, and the slowest while all hold too much. `now`: of the loop's clock, seconds."""
        sizes = {each: size for each in self._open if (size := each.transport.get_write_buffer_size())}
        before = self._waiting
        self._waiting = {}
        for each in sizes:
            request, since = before.get(each, (None, now))
            self._waiting[each] = (each.cycle, since if request is each.cycle else now)
        held = sum(sizes.values())
        for each, (_, since) in sorted(self._waiting.items(), key=lambda item: item[1][1]):
            if now - since < self._seconds and not (self._most_bytes and held > self._most_bytes):
                break
            held -= sizes[each]
            self._refused["unread"] += 1
            self.remove(each)
            # Not close: it would wait until the rest has been read.
            each.transport.abort()
