"""One lock for all writers of a lake, on one machine.

Two processes that write through a SQLite catalog at once lose most commits to "database is locked" (DuckDB 1.5.5;
20-90 % with 2-4 writers). Readers take no lock.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mlplatform.errors import LakeBusyError

__all__ = ["WRITE_TIMEOUT_SECONDS", "write_lock"]

# A dbt build of a large project is the longest writer there is.
WRITE_TIMEOUT_SECONDS = 900.0

# A commit takes about 0.05 s: filelock's default of 0.05 s would leave the lake idle as long as it is busy.
_POLL_SECONDS = 0.01


@contextmanager
def write_lock(locks: Path, timeout: float = WRITE_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the lake's write lock. A process that dies gives it back: the kernel holds the lock, not the file.

    It is not re-entrant: `Lake.commit` takes it itself.

    Raises:
        LakeBusyError: somebody else wrote for longer than `timeout` seconds.
    """
    locks.mkdir(parents=True, exist_ok=True)
    path = locks / "lake.lock"
    lock = FileLock(path, poll_interval=_POLL_SECONDS)
    turn = FileLock(locks / "lake.turn.lock", poll_interval=_POLL_SECONDS)
    started = time.monotonic()
    try:
        # Whoever is next holds the turn: one that just wrote cannot take the lock again before it. Without it a
        # busy writer starved another for 35 s (5 writers on 2 overloaded cores).
        with turn.acquire(timeout=timeout):
            lock.acquire(timeout=max(0.0, timeout - (time.monotonic() - started)))
    except Timeout:
        raise LakeBusyError(
            f"another process has been writing to the lake for {timeout:.0f} s (lock {path}); "
            "wait for it to finish, or look for it with `mlplatform doctor`"
        ) from None
    try:
        yield
    finally:
        lock.release()
