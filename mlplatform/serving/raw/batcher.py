"""Concurrent requests share one query: while one batch is computed, the next one gathers. Nobody waits for a clock."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from mlplatform.errors import LakeError
from mlplatform.serving.histogram import ROWS, Histogram
from mlplatform.serving.presence import GoneError

__all__ = ["Batcher", "Item", "QueueFullError"]

Work = TypeVar("Work")
Result = TypeVar("Result")
PATIENCE_SECONDS = 0.004
"""Half of what a query costs, whatever it holds."""


class QueueFullError(Exception):
    """So many requests wait already that another would only wait longer."""


@dataclass(frozen=True)
class Item(Generic[Work]):
    """One request's part of a batch."""

    work: Work
    rows: int
    together: Hashable
    """Only items that are equal here may share a batch."""
    alone: frozenset[Hashable]
    """Two items that share one of these may not: the same key twice in one query is one row too many."""
    given_up: Callable[[], bool] = bool
    """Asked when its turn has come: whether nobody waits for it any more. `bool()` is false."""


class Batcher(Generic[Work, Result]):
    """Runs `compute` on one thread for as many items as wait, up to `rows` rows. Used on one event loop."""

    def __init__(
        self, compute: Callable[[Sequence[Work]], Sequence[Result]], rows: int = 64, most_waiting: int = 1024
    ) -> None:
        self._compute = compute
        self._rows = rows
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[Item[Work], asyncio.Future[Result]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._draining: asyncio.Task[None] | None = None
        self._expected = 1
        self.waiting = 0
        """Rows that no batch has taken up yet."""
        self.refused = 0
        """Items that a full queue turned away."""
        self.sizes = Histogram(ROWS)
        """Rows of each batch."""

    async def submit(self, item: Item[Work]) -> Result:
        """The result. Raises QueueFullError, GoneError if the item was given up, or what `compute` raised for it."""
        if self.waiting and self.waiting + item.rows > self._most_waiting:
            self.refused += 1
            raise QueueFullError
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self.waiting += item.rows
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._waiting:
            await self._gather()
            self._drop_given_up()
            if not self._waiting:
                return
            batch = self._take()
            self._expected = sum(item.rows for item, _ in batch)
            self.sizes.observe(self._expected)
            await self._run(batch)

    async def _gather(self) -> None:
        """Clients that were answered together ask again together: a moment's patience makes one query of them.

        A client that asks alone does not wait.
        """
        ends = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        await asyncio.sleep(0)
        while self.waiting < self._expected and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(PATIENCE_SECONDS / 8)

    async def _run(self, batch: list[tuple[Item[Work], "asyncio.Future[Result]"]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, self._compute, [item.work for item, _ in batch])
        except LakeError as error:
            if len(batch) == 1:
                _settle(batch[0][1], error)
                return
            # One of them spoils the query; the others get their answers.
            for single in batch:
                await self._run([single])
            return
        except Exception as error:
            for _, future in batch:
                _settle(future, error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _drop_given_up(self) -> None:
        """Also of tasks that were cancelled, by a time-out for example: nobody behind them needs to wait for these."""
        left: deque[tuple[Item[Work], asyncio.Future[Result]]] = deque()
        for item, future in self._waiting:
            if future.done() or item.given_up():
                self.waiting -= item.rows
                _settle(future, GoneError())
            else:
                left.append((item, future))
        self._waiting = left

    def _take(self) -> list[tuple[Item[Work], "asyncio.Future[Result]"]]:
        """The first item, and those behind it that go with it; the others keep their order."""
        first = self._waiting.popleft()
        batch, rows, alone = [first], first[0].rows, set(first[0].alone)
        left: deque[tuple[Item[Work], asyncio.Future[Result]]] = deque()
        while self._waiting:
            item, future = self._waiting.popleft()
            fits = rows + item.rows <= self._rows and item.together == first[0].together
            if fits and not alone & item.alone:
                batch.append((item, future))
                rows += item.rows
            else:
                left.append((item, future))
            # Also of what is left: a later event of a key must not overtake an earlier one.
            alone |= item.alone
        self._waiting = left
        self.waiting -= rows
        return batch


def _settle(future: "asyncio.Future[Result]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
