"""What one run reads of a source, whatever its kind: batches, in order. The one path from a source to the lake."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NoReturn

from mlplatform.errors import SourceError
from mlplatform.ingest.base import Reader
from mlplatform.ingest.batch import Batch, Batches
from mlplatform.ingest.days import Days, declared_days
from mlplatform.ingest.messages import no_message_yet
from mlplatform.ingest.open import open_feed, open_reader, open_table
from mlplatform.spec import PythonSource, Source, StreamSource

__all__ = ["Reading", "nothing_there", "nothing_yet", "read_source"]

# A month of the simulator is 300,000 rows: large enough to be quick, small enough to stay far below a GiB.
_DAYS_PER_COMMIT = 31


@dataclass(frozen=True)
class Reading:
    """What one run reads."""

    batches: Batches
    """Each is read when it is asked for."""
    days: Days | None = None
    """Which days; None: rows without a time, or what there is behind the cursor."""
    left_out: str | None = None
    """Days that the source has and the declaration does not ask for, in words."""


def read_source(
    source: Source,
    folder: Path,
    *,
    cursor: str | None,
    days: Days | None,
    again: bool,
    columns: Collection[str] | None = None,
) -> Reading:
    """What a run reads of `source`, whose use case's folder is `folder`.

    Args:
        source: the declaration.
        folder: holds its Python file, if it has one.
        cursor: for a source that goes on: where it stopped.
        days: the days of the run's partitions, or of a backfill; None: all that there is, or is new.
        again: whether `days` are a backfill of a source that goes on, whose cursor then stays where it is.
        columns: those that the contract names: of them alone a row that has no key is numbered; None: of all.

    Raises:
        SourceError: the source cannot be read, or has nothing in the declared days.
    """
    if source.goes_on:
        feed = open_feed(source, folder)
        return Reading(feed.between(days.start, days.end) if days and again else feed.batches(cursor), days)
    if source.time_column is None:
        return Reading(_whole(source, folder, columns))
    reader = open_reader(source, folder, columns)
    if days is not None:
        # Partitions of months may reach beyond the declared days.
        wanted = declared_days(source, (days.start, days.end)) or nothing_there(source)
        return Reading(_by_days(reader, wanted.chunks(_DAYS_PER_COMMIT)), wanted)
    available = reader.available()
    wanted = declared_days(source, available) or nothing_there(source)
    chunks = [wanted] if source.partition == "none" else wanted.chunks(_DAYS_PER_COMMIT)
    return Reading(_by_days(reader, chunks), wanted, left_out=_left_out(source, available))


def nothing_there(source: Source) -> NoReturn:
    """Raises the SourceError of a source that holds no row."""
    if isinstance(source, PythonSource) and source.function:
        raise SourceError(
            f"source `{source.name}` holds no row: {source.function} in {source.module}.py yielded none. Correct what "
            "it yields when its cursor is None, or the `params` in defs.yaml"
        )
    raise SourceError(
        f"source `{source.name}` holds no row from {source.start or 'its beginning'} to {source.end or 'today'}; "
        "check its path or parameters, and `start` and `end`, in defs.yaml"
    )


def nothing_yet(source: Source) -> str | None:
    """Of a stream, in words, that no message has come yet: it may be younger than its devices. None for other kinds,
    where what holds no row is more likely named wrongly."""
    return no_message_yet(source) if isinstance(source, StreamSource) else None


def _whole(source: Source, folder: Path, columns: Collection[str] | None) -> Batches:
    rows = open_table(source, folder, columns).read_all()
    if not len(rows):
        nothing_there(source)
    yield Batch("all rows", rows)


def _by_days(reader: Reader, chunks: Iterable[Days]) -> Batches:
    for days in chunks:
        yield Batch(str(days), reader.read(days.start, days.end), days)


def _left_out(source: Source, available: tuple[date, date] | None) -> str | None:
    days = declared_days(source, available)
    if available is None or days is None:
        return None
    first, behind = available
    parts = [
        *([f"{Days(first, days.start)} (before `start`)"] if first < days.start else []),
        *([f"{Days(days.end, behind)} (after `end`)"] if days.end < behind else []),
    ]
    return f"the source also has {' and '.join(parts)}; those days are left out" if parts else None
