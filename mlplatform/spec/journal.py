"""What is kept of each prediction that a service gives."""

from typing import Annotated

from pydantic import Field, PositiveInt

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.span import Days

__all__ = ["Journal"]


class Journal(Declared):
    """Predictions are written aside, after the answer has gone out; a full queue or disk never delays a request."""

    enabled: bool = True
    """False: nothing is kept, and nothing can be said of the served predictions."""
    columns: list[ColumnName] | None = None
    """Features that are kept; empty list: none, absent: all. Keys, event time and answer are always kept."""
    hashed: list[ColumnName] = []
    """Features and keys that are kept as a keyed hash (HMAC-SHA256) only; equal values stay equal."""
    flush_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """A service that is killed loses at most the predictions of this many seconds, as long as the disk keeps up."""
    queue_rows: PositiveInt = 20000
    """Predictions that wait for the disk; more are dropped and counted."""
    keep_days: Days = 365
    """Predictions older than this, by the clock on the wall, are removed from the lake at the next ingest."""
