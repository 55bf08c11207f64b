"""Steps in processes beside each other, a bounded number of them, that end with the process that asked."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import Protocol

from mlplatform.ml.backtest.setting import Setting
from mlplatform.ml.backtest.steps import Result, Step, run_step
from mlplatform.ml.cores import available_cores, share_cores

__all__ = ["Submit", "workers"]


class Submit(Protocol):
    """Begins a step, somewhere."""

    def __call__(self, step: Step) -> "Future[Result]":
        """Its result, later."""
        ...


@contextmanager
def workers(setting: Setting, jobs: int | None) -> Iterator[Submit]:
    """What begins steps, at most `jobs` at once (default: as many as there are cores); 1: here, one after the other."""
    count = jobs or available_cores()
    if count == 1:
        yield lambda step: _here(step, setting)
        return
    pool: Executor = ProcessPoolExecutor(
        # Not fork: a child of a process with threads (LightGBM's, DuckDB's) may wait for ever for a lock of the parent.
        count,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(count,),
    )
    try:
        yield lambda step: pool.submit(run_step, step, setting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _here(step: Step, setting: Setting) -> "Future[Result]":
    finished: Future[Result] = Future()
    finished.set_result(run_step(step, setting))
    return finished


def _begin(count: int) -> None:
    share_cores(count)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work on a pipe that it holds both ends of: it would outlive a parent that was killed."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
