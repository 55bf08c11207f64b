"""A DuckDB in memory for casts and texts, kept for the next batch: to make one costs 11 ms of CPU."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

__all__ = ["scratch"]

_guard = threading.Lock()
_kept: list[duckdb.DuckDBPyConnection] = []
# Instances of the parent process, in a forked child: their threads are gone, so even closing one could hang.
_abandoned: list[duckdb.DuckDBPyConnection] = []


@contextmanager
def scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of one's own whose times are UTC; what is registered in it is not seen by the next one."""
    with _guard:
        if not _kept:
            _kept.append(duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}))
        connection = _kept[0].cursor()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _forget() -> None:
    global _guard
    _abandoned.extend(_kept)
    _kept.clear()
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_forget)
