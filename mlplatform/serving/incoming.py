"""The body of a request, with an eye on clock and memory."""

import asyncio
from typing import Protocol

from starlette.types import Message, Receive

from mlplatform.serving.refusals import RefusalError, after
from mlplatform.serving.request import RefusedError

__all__ = ["Holder", "Incoming"]


class Holder(Protocol):
    """Counts bytes of all bodies that have come in part."""

    held: int


class Incoming:
    """`receive` with a deadline for the whole body, and a count of what is held of all of them."""

    def __init__(self, guard: Holder, receive: Receive, seconds: float, most: int) -> None:
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
                raise RefusalError(503, "too much is being sent at once; try again in a moment", (after(1),))
        else:
            self._complete = True
        return message
