"""Whether the client of a request still waits for the answer: what had to wait for its turn is not begun for nobody.

ASGI tells it by a message behind the body. It is looked for without waiting, when the turn has come: one step of
`receive`, which would wait while the client is there. A short request is not asked about: it is answered before the
server has looked at its connection again.
"""

import asyncio
import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from starlette.types import Receive

__all__ = ["GoneError", "begin", "end", "in_turn", "is_gone", "require_client", "watch"]

Result = TypeVar("Result")

THREADS = min(32, (os.cpu_count() or 1) + 4) - 2
"""Of those that `asyncio.to_thread` has; two are left for others, such as /metrics. Who waits for one waits here, where
it can still be given up."""
_current: ContextVar[Receive | None] = ContextVar("receive", default=None)
_Turns = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
_turns: _Turns = WeakKeyDictionary()
_long_turns: _Turns = WeakKeyDictionary()
"""Half of the threads: the other half is never taken by what takes long."""


class GoneError(Exception):
    """The client has gone; there is nobody to answer. In the metrics such a request has the status 499."""


def begin(receive: Receive) -> "Token[Receive | None]":
    """From now on this task works for the client of this request, whose body has been read."""
    return _current.set(receive)


def end(token: "Token[Receive | None]") -> None:
    """It does not any more."""
    _current.reset(token)


def is_gone(receive: Receive) -> bool:
    """Whether the client has gone away."""
    step = receive().__await__()
    try:
        next(step)
    except StopIteration as done:
        return bool(done.value["type"] == "http.disconnect")
    step.close()
    return False


def watch() -> Callable[[], bool]:
    """Tells of this task's client, also to another task of the same loop. Of none: it is always there."""
    receive = _current.get()
    return lambda: receive is not None and is_gone(receive)


def require_client(receive: Receive) -> None:
    """Raises GoneError if the client of a request has gone."""
    if is_gone(receive):
        raise GoneError


async def in_turn(function: Callable[..., Result], *arguments: Any, long: bool = False) -> Result:
    """Call it on a thread, when one is free; what takes `long` leaves half of them to others.

    Raises GoneError if the client has not waited so long.
    """
    loop = asyncio.get_running_loop()
    if long:
        async with _long_turns.setdefault(loop, asyncio.Semaphore(max(1, THREADS // 2))):
            return await in_turn(function, *arguments)
    async with _turns.setdefault(loop, asyncio.Semaphore(THREADS)):
        if watch()():
            raise GoneError
        return await asyncio.to_thread(function, *arguments)
