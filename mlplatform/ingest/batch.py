"""What every kind of source comes down to: batches of rows, each with the place in the source behind it."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypeAlias

import pyarrow as pa

from mlplatform.ingest.days import Days

__all__ = ["Batch", "Batches", "Feed", "ahead_of_the_clock"]


@dataclass(frozen=True)
class Batch:
    """Rows that are checked and committed together, in one transaction with the cursor behind them."""

    name: str
    """For people: which rows these are."""
    rows: pa.Table
    """Under the column names of the contract; as they come, see `Table.read_all`."""
    days: Days | None = None
    """The days that were asked for; None: whatever was there."""
    cursor: str | None = None
    """Where to go on once these rows are stored; None: the stored cursor stays as it is."""
    latest: datetime | None = None
    """Behind this moment (UTC, no zone) no row can have happened; None: nobody knows."""
    refused: pa.Table | None = None
    """What could not even be read as a row: `payload` and `_reason`, for quarantine."""
    left_out: str | None = None
    """What did not come although it is, or was, behind the cursor, in words for people; None: nothing that is known."""


Batches: TypeAlias = Generator[Batch, None, None]


def ahead_of_the_clock(rows: int, column: str, newest: str) -> str:
    """Says that so many rows were left out, for a time at which nothing can have happened yet."""
    return (
        f"{rows:,} rows whose `{column}` lies more than a day ahead of the source's clock, up to {newest}: they are "
        "not read until then. Correct them in the source"
    )


class Feed(Protocol):
    """A source that goes on where it stopped."""

    def batches(self, after: str | None) -> Batches:
        """What there is behind the cursor `after` (None: from the beginning), in the source's order.

        The next batch is asked for only when this one and its cursor are committed: what stands behind a `yield` may
        tell the source so. A batch that is not committed is never followed by another one, and the generator is closed.

        Raises SourceError when the source cannot be read.
        """

    def pending(self, after: str | None) -> str | None:
        """A text that names what waits behind `after`; None if nothing does. Reads as little as it can."""

    def between(self, start: date, end: date) -> Batches:
        """Rows with start <= time < end once more, for a backfill; their `cursor` is None.

        Raises SpecError where the kind cannot be asked for days.
        """
