"""Many commits of one run through one connection: opening the lake for each costs more than a small batch itself."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb

from mlplatform.lake.lake import Committed, Lake

__all__ = ["Writer", "writer"]

T = TypeVar("T")


@dataclass
class Writer:
    """A lake that stays attached between commits. For one thread."""

    lake: Lake
    _open: ExitStack = field(default_factory=ExitStack)
    _connection: duckdb.DuckDBPyConnection | None = None

    def commit(self, work: Callable[[duckdb.DuckDBPyConnection], T], message: str) -> Committed[T]:
        """As `Lake.commit`. The write lock is held for the transaction alone."""
        return self.lake.commit(work, message, through=self._attached)

    def close(self) -> None:
        """Let go of the connection; the next commit opens another one."""
        self._connection = None
        self._open.close()

    @contextmanager
    def _attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._connection is None:
            self._connection = self._open.enter_context(self.lake.attach())
        try:
            yield self._connection
        except BaseException:
            # What a failed transaction has left of it is nobody's business: the next try begins anew.
            self._connection = None
            self._open.pop_all().__exit__(*sys.exc_info())
            raise


@contextmanager
def writer(lake: Lake) -> Iterator[Writer]:
    """A `Writer` for as long as a run lasts."""
    made = Writer(lake)
    try:
        yield made
    finally:
        made.close()
