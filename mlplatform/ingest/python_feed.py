"""A function of the user's own as a source that goes on where it stopped."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pandas as pd
import pyarrow as pa

from mlplatform.contracts.arrow import as_arrow
from mlplatform.errors import PlatformError, SourceError, SpecError
from mlplatform.ingest.batch import Batch, Batches
from mlplatform.spec import PythonSource
from mlplatform.spec.module import load_module

__all__ = ["PythonFeed"]

Part: TypeAlias = tuple[pa.Table, str | None]

_Rows: TypeAlias = pa.Table | pa.RecordBatch | pd.DataFrame


class PythonFeed:
    """What `function(params, cursor)` yields: Arrow tables or pandas frames, or pairs of one and the cursor behind it.
    One that it returns instead is its only part.

    Told a text that it yielded as a cursor before, the function goes on behind those rows. One that yields no cursor is
    told None, and read whole in each run.
    """

    def __init__(self, spec: PythonSource, folder: Path) -> None:
        self.spec = spec
        self._file = folder / f"{spec.module}.py"
        must_hold = f"`def {spec.function}(params, cursor)`"
        found = getattr(load_module(folder, spec.module, must_hold), str(spec.function), None)
        if not callable(found):
            raise SpecError(f"source `{spec.name}`: {self._file} must hold {must_hold}.")
        self._function: Callable[[dict[str, Any], str | None], Any] = found

    def batches(self, after: str | None) -> Batches:
        """One for each that the function yields, or for several up to `rows_per_commit`."""
        parts = self._yielded(after)
        if self.spec.rows_per_commit is not None:
            parts = _together(parts, self.spec.rows_per_commit)
        for number, (rows, cursor) in enumerate(parts, start=1):
            yield Batch(f"part {number}" + (f" to {cursor}" if cursor else ""), rows, cursor=cursor)

    def pending(self, after: str | None) -> str | None:
        """Names the first rows behind the cursor, which it reads."""
        for rows, cursor in self._yielded(after):
            if len(rows):
                return f"{after} {cursor} {len(rows)} {hash_of(rows)}"
        return None

    def between(self, start: date, end: date) -> Batches:
        """A function is not told days."""
        raise SpecError(
            f"source `{self.spec.name}`: a function of kind python cannot be asked for the days {start}..{end}; write "
            "a class `Reader` with `available`, `read` and `fingerprint` and give the source partitions"
        )

    def _yielded(self, after: str | None) -> Iterator[Part]:
        try:
            for item in self._parts(self._function(self.spec.params, after)):
                yield self._pair(item)
        except PlatformError:
            raise
        except Exception as error:  # whatever user code raises is told with the name of its file
            raise SourceError(
                f"source `{self.spec.name}`: {self.spec.function} in {self._file} failed: {type(error).__name__}: "
                f"{error}. What it yielded before is stored; correct it and run again."
            ) from error

    def _parts(self, returned: Any) -> Iterable[Any]:
        # A table and a frame are iterables, too: of their columns.
        if isinstance(returned, _Rows) or _is_pair(returned):
            return [returned]
        if returned is None:
            self._refuse("nothing (None): is its `yield` missing?", "returned")
        if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
            self._refuse(f"a value of type {type(returned).__name__}", "returned")
        parts: Iterable[Any] = returned
        return parts

    def _pair(self, item: Any) -> Part:
        rows, cursor = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if not isinstance(rows, _Rows):
            self._refuse(f"rows of type {type(rows).__name__}")
        if cursor is not None and not isinstance(cursor, str):
            self._refuse(f"a cursor of type {type(cursor).__name__}")
        if isinstance(rows, pa.RecordBatch):
            rows = pa.Table.from_batches([rows])
        try:
            return as_arrow(rows), cursor
        except SourceError as error:
            self._refuse(f"rows that cannot be stored: {error}")

    def _refuse(self, what: str, how: str = "yielded") -> NoReturn:
        raise SourceError(
            f"source `{self.spec.name}`: {self.spec.function} in {self._file} {how} {what}; it must yield a "
            "pyarrow.Table or a pandas.DataFrame, or a tuple of one and the cursor behind it, a text"
        )


def _is_pair(item: Any) -> bool:
    """Whether it is rows and the cursor behind them, and not two parts."""
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], _Rows) and not isinstance(item[1], _Rows)


def _together(parts: Iterator[Part], most: int) -> Iterator[Part]:
    """Neighbours of one schema as one part, with the cursor behind the last; those before an error come before it."""
    group: list[pa.Table] = []
    newest: str | None = None
    try:
        for rows, cursor in parts:
            if group and rows.schema != group[0].schema:
                yield pa.concat_tables(group), newest
                group, newest = [], None
            group, newest = [*group, rows], cursor or newest
            if sum(map(len, group)) >= most:
                yield pa.concat_tables(group), newest
                group, newest = [], None
    except PlatformError:
        if group:
            yield pa.concat_tables(group), newest
        raise
    if group:
        yield pa.concat_tables(group), newest


def hash_of(rows: pa.Table) -> str:
    """A short text that differs where rows do."""
    import hashlib

    return hashlib.sha256(repr(rows.slice(0, 1000).to_pylist()).encode()).hexdigest()[:16]
