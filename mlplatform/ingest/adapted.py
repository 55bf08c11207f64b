"""What is declared of a source beside where it lies: values that mean "missing", numbers written with a comma, and a
number for rows without a key.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.ingest.base import Reader, Table
from mlplatform.ingest.batch import Batches, Feed
from mlplatform.ingest.row_id import numbered
from mlplatform.spec import Source

__all__ = ["AdaptedFeed", "AdaptedReader", "AdaptedTable", "adapted", "as_it_lies", "is_adapted"]


def is_adapted(source: Source) -> bool:
    """Whether its rows change between the source and the contract."""
    return source.row_id is not None or bool(source.missing_values) or bool(source.decimal_comma)


def as_it_lies(source: Source) -> Source:
    """The same source as its reader sees it."""
    added = source.row_id.column if source.row_id else None
    key = [name for name in source.key if name != added]
    return source.model_copy(update={"row_id": None, "missing_values": {}, "decimal_comma": [], "key": key})


def adapted(rows: pa.Table, source: Source, columns: Collection[str] | None = None) -> pa.Table:
    """The rows as declared: numbered as they lie, then missing values are NULL and commas points, so that what is
    declared later gives no row another number. A column that is not there is left to the contract to name.

    Args:
        columns: those that the contract names, which alone count for the number; None: all.
    """
    if source.row_id is not None:
        rows = numbered(rows, source.row_id, columns)
    for name, texts in source.missing_values.items():
        rows = _changed(rows, name, partial(_without, texts=texts))
    for name in source.decimal_comma:
        rows = _changed(rows, name, _pointed)
    return rows


def _changed(rows: pa.Table, name: str, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    position = rows.schema.get_field_index(name)
    return rows if position < 0 else rows.set_column(position, name, change(rows.column(position)))


def _without(column: pa.ChunkedArray, texts: Sequence[str]) -> pa.ChunkedArray:
    """NULL where a value is one of the texts, or the number that one of them is."""
    kind = column.type
    if _is_text(kind):
        said = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(texts, kind))
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
        said = pc.is_in(pc.cast(column, pa.float64(), safe=False), value_set=pa.array(_numbers(texts), pa.float64()))
    else:
        return column
    return pc.if_else(said, pa.scalar(None, kind), column)


def _numbers(texts: Sequence[str]) -> list[float]:
    numbers = []
    for text in texts:
        with suppress(ValueError):
            numbers.append(float(text))
    return numbers


DECIMAL_COMMA = r"^[-+]?([0-9]{1,3}([.][0-9]{3})+|[0-9]+)(,[0-9]+)?$"
"""1.234,5 or 1234,5 or 1234."""


def _pointed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What is no such number stays as it came, for the contract to name."""
    if not _is_text(column.type):
        return column
    text = pc.utf8_trim_whitespace(column)
    number = pc.replace_substring(pc.replace_substring(text, ".", ""), ",", ".")
    return pc.if_else(pc.match_substring_regex(text, DECIMAL_COMMA), number, column)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


@dataclass(frozen=True)
class AdaptedTable:
    """Rows without a time."""

    source: Source
    table: Table
    columns: Collection[str] | None = None

    def read_all(self) -> pa.Table:
        """All rows, as declared."""
        return adapted(self.table.read_all(), self.source, self.columns)

    def fingerprint(self) -> str:
        """That of the source."""
        return self.table.fingerprint()


@dataclass(frozen=True)
class AdaptedReader:
    """Rows with a time. Equal rows have equal times, so that a day's batch numbers all of them."""

    source: Source
    reader: Reader
    columns: Collection[str] | None = None

    def available(self) -> tuple[date, date] | None:
        """As the source says."""
        return self.reader.available()

    def read(self, start: date, end: date) -> pa.Table:
        """Those of the days, as declared."""
        return adapted(self.reader.read(start, end), self.source, self.columns)

    def fingerprint(self) -> str:
        """That of the source."""
        return self.reader.fingerprint()


@dataclass(frozen=True)
class AdaptedFeed:
    """Batches of a source that goes on."""

    source: Source
    feed: Feed

    def batches(self, after: str | None) -> Batches:
        """As declared, from the cursor on."""
        return self._adapted(self.feed.batches(after))

    def pending(self, after: str | None) -> str | None:
        """As the source says."""
        return self.feed.pending(after)

    def between(self, start: date, end: date) -> Batches:
        """Those of the days, as declared."""
        return self._adapted(self.feed.between(start, end))

    def _adapted(self, batches: Batches) -> Batches:
        # A source is told by the end of its generator that a batch was not stored.
        with closing(batches):
            for batch in batches:
                yield replace(batch, rows=adapted(batch.rows, self.source))
