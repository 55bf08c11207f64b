"""Work beside the requests: one thread, and never more waiting than it may fall behind."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Aside"]

Result = TypeVar("Result")


class Aside:
    """Works off what it is given, in order. A daemon: work that never ends must not keep the process alive."""

    def __init__(self, most: int) -> None:
        """`most`: how much may wait, in whatever unit `take` counts."""
        self._most = most
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[int, Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.waiting = 0

    def take(self, size: int, work: Callable[[], Result]) -> "Future[Result] | None":
        """Hand work over; None, at once, if it would be too much. Alone, work of any size is taken."""
        with self._lock:
            if self.waiting and self.waiting + size > self._most:
                return None
            self.waiting += size
            if self._thread is None:
                # With the first work, not before: workers are forked, and threads do not come along.
                self._thread = threading.Thread(target=self._run, name="challenger", daemon=True)
                self._thread.start()
        result: Future[Result] = Future()
        self._queue.put((size, result, work))
        return result

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Work off what waits, for so long, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            size, result, work = item
            # Whoever waited may have given up.
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(work())
                except Exception as error:  # it belongs to whoever asked for the work
                    result.set_exception(error)
            with self._lock:
                self.waiting -= size
