"""Sends cases on connections of their own, and tells what came of each: a status, or why there is none."""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks._fuzz_corpus import Case

__all__ = ["HANG_SECONDS", "Outcomes", "send_all"]

HANG_SECONDS = 30.0
"""Without a byte of an answer, and with the connection still open, a service hangs. Its own time-outs are shorter."""
AT_ONCE = 16


@dataclass
class Outcomes:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Of answers that were given."""
    closed: int = 0
    """Connections that were closed without an answer, which is right for some that were never whole requests."""
    server_errors: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds to the answer of a client that was not slow itself."""

    @property
    def cases(self) -> int:
        return self.statuses.total() + self.closed + len(self.hangs)


async def send_all(port: int, cases: Iterable[Case], outcomes: Outcomes, seconds: float | None = None) -> None:
    """Some at once, until there are no more, or time is up."""
    turn, end = iter(cases), None if seconds is None else time.monotonic() + seconds
    # Slow ones are waited for elsewhere: they may take as long as the service lets them.
    slow: list[asyncio.Task[None]] = []

    async def worker() -> None:
        for case in turn:
            if case.pause or not case.reads or not case.body:
                slow.append(asyncio.create_task(_one(port, case, outcomes)))
            else:
                await _one(port, case, outcomes)
            if end is not None and time.monotonic() > end:
                return

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    await asyncio.gather(*slow)


async def _one(port: int, case: Case, outcomes: Outcomes) -> None:
    began = time.monotonic()
    reader, writer = await _connect(port, case)
    sending = asyncio.create_task(_send(writer, case))
    try:
        async with asyncio.timeout(HANG_SECONDS + 60 * bool(not case.reads)):
            if not case.reads:
                await _until_closed(sending, writer)
                outcomes.closed += 1
                return
            status = await _status(reader)
    except TimeoutError:
        outcomes.hangs.append(case.name)
        return
    finally:
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending
        writer.transport.abort()
    if status is None:
        outcomes.closed += 1
        return
    outcomes.statuses[status] += 1
    if status >= 500:
        outcomes.server_errors.append(f"{status} {case.name}")
    if not case.pause and case.body:
        outcomes.slowest = max(outcomes.slowest, time.monotonic() - began)


async def _connect(port: int, case: Case) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """With small buffers for who does not read, so that the answer stays where it was made."""
    if case.reads:
        return await asyncio.open_connection("127.0.0.1", port)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", port))
    return await asyncio.open_connection(sock=deaf, limit=1)


async def _send(writer: asyncio.StreamWriter, case: Case) -> None:
    writer.write(case.head)
    for byte in case.body if case.pause else b"":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(case.pause)
    for _ in range(0 if case.pause else case.repeat):
        writer.write(case.body)
        await writer.drain()


async def _status(reader: asyncio.StreamReader) -> int | None:
    """Of the answer, after 100 Continue; None where the connection was closed without one."""
    status = 100
    while status == 100:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return None
        word = head.split(b" ", 2)[1:2]
        status = int(word[0]) if word and word[0].isdigit() else 599
    return status


async def _until_closed(sending: "asyncio.Task[None]", writer: asyncio.StreamWriter) -> None:
    """Ask again and again, and never read, until the service has had enough. Only writing tells: reading is paused."""
    with contextlib.suppress(OSError):
        await sending
        while not writer.is_closing():
            await asyncio.sleep(0.2)
            writer.write(b"\r\n")
            await writer.drain()
