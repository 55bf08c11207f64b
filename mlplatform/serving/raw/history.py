"""Rows of the past, found by entity in microseconds: what the text may look at for a few requests, and no more."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.lake.feature_query import HistoryTable

__all__ = ["History", "Past"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """One table, as Arrow, with an index for each of its entities. Immutable: a newer one takes its place."""

    declared: HistoryTable
    rows: pa.Table
    places: Mapping[str, Mapping[Any, Rows]]
    """Entity column -> value -> the numbers of its rows."""
    times: npt.NDArray[np.datetime64]
    """Of the rows, which are in this order."""
    key: str | None = None
    """The column that names a row, where these rows have it."""
    by_key: Rows | None = None
    """The numbers of the rows in the order of the key, those without one left out."""

    @classmethod
    def of(cls, declared: HistoryTable, rows: pa.Table, key: str | None = None) -> Self:
        """Index the rows: half a second for a million."""
        ordered = rows.sort_by(declared.time).combine_chunks()
        places = {name: _places(ordered[name]) for name in declared.entities}
        times = ordered[declared.time].to_numpy()
        if key is None or not declared.entities or key not in ordered.column_names:
            return cls(declared, ordered, places, times)
        by_key = pc.sort_indices(ordered[key]).to_numpy().astype(np.int64)
        return cls(declared, ordered, places, times, key, by_key[: len(by_key) - ordered[key].null_count])

    def row_of(self, key: Any) -> dict[str, Any] | None:
        """The row that a key names; None where there is none, or rows have no keys. Some microseconds."""
        if self.key is None or self.by_key is None:
            return None
        column, order = self.rows[self.key], self.by_key
        wanted = pa.scalar(key, column.type).as_py()
        place = bisect_left(order, wanted, key=lambda number: column[int(number)].as_py())
        if place == len(order) or column[int(order[place])].as_py() != wanted:
            return None
        found: dict[str, Any] = self.rows.slice(int(order[place]), 1).to_pylist()[0]
        return found

    def of_entities(self, asked: Mapping[str, Iterable[Any]], since: datetime) -> pa.Table:
        """The rows that share an entity with what is asked for, none before `since`."""
        first = int(np.searchsorted(self.times, np.datetime64(since)))
        found = [
            places[value][np.searchsorted(places[value], first) :]
            for name, places in self.places.items()
            for value in set(asked.get(name, ()))
            if value in places
        ]
        numbers = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        numbers.sort()
        # Ten times as fast as np.unique, which hashes.
        fresh = np.concatenate([[True], numbers[1:] != numbers[:-1]]) if len(numbers) else numbers.astype(bool)
        return self.rows.take(pa.array(numbers[fresh]))


@dataclass(frozen=True)
class Past:
    """All that is known of the past: each history table as of one snapshot of the lake."""

    tables: Mapping[str, History]
    newest: datetime | None
    """The newest time of any row; None if there are no rows."""
    complete_from: datetime | None
    """Features of an earlier moment would look back on rows that are not here; None: all rows are here."""

    @property
    def size(self) -> int:
        """Rows of all tables."""
        return sum(history.rows.num_rows for history in self.tables.values())


def _places(column: pa.ChunkedArray) -> dict[Any, Rows]:
    """Value -> numbers of its rows, ascending; rows without a value are not found."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable").astype(np.int64)
    ends = np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))
    values: Sequence[Any] = encoded.dictionary.to_pylist()
    starts = np.concatenate([[0], ends[:-1]])
    return {value: order[start:end] for value, start, end in zip(values, starts, ends, strict=False)}
