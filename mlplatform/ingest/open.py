"""From a declared source to its reader."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mlplatform.errors import SpecError
from mlplatform.ingest.adapted import AdaptedFeed, AdaptedReader, AdaptedTable, as_it_lies, is_adapted
from mlplatform.ingest.base import Reader, Table
from mlplatform.ingest.batch import Feed
from mlplatform.ingest.clock import Clock, utc_now
from mlplatform.ingest.files import FilesReader, TableFiles
from mlplatform.ingest.files_feed import FilesFeed
from mlplatform.ingest.python_feed import PythonFeed
from mlplatform.ingest.rest import RestFeed, RestReader
from mlplatform.ingest.sql import SqlReader, SqlTable
from mlplatform.ingest.sql_feed import SqlFeed
from mlplatform.spec import FilesSource, PythonSource, RestSource, Source, SqlSource, StreamSource
from mlplatform.spec.module import load_module
from mlplatform.spec.stream import Nats

__all__ = ["open_feed", "open_reader", "open_source", "open_table"]

_TIMED = ("available", "read", "fingerprint")
_TIMELESS = ("read_all", "fingerprint")
_SIGNATURES = {"available": "available()", "read": "read(start, end)", "read_all": "read_all()"}


def open_reader(source: Source, folder: Path, columns: Collection[str] | None = None) -> Reader:
    """The reader of a source whose rows have a time; `folder` is the use case's, which holds its defs.yaml.

    `columns` are those that the contract names: they alone count for the number of a row that has no key.

    Raises SpecError when a python source's file or class is missing or refuses its params, or its rows have no time.
    """
    if source.time_column is None:
        raise SpecError(f"source `{source.name}` has no time_column: it is read whole, with `open_table`.")
    if is_adapted(source):
        return AdaptedReader(source, open_reader(as_it_lies(source), folder), columns)
    if isinstance(source, SqlSource):
        return SqlReader(source)
    if isinstance(source, RestSource):
        return RestReader(source)
    if isinstance(source, FilesSource):
        return FilesReader(source)
    assert isinstance(source, PythonSource), "a stream goes on where it stopped"
    reader: Reader = _from_python(source, folder, _TIMED)
    return reader


def open_table(source: Source, folder: Path, columns: Collection[str] | None = None) -> Table:
    """The same for a source without a time."""
    if is_adapted(source):
        return AdaptedTable(source, open_table(as_it_lies(source), folder), columns)
    if isinstance(source, SqlSource):
        return SqlTable(source)
    if isinstance(source, FilesSource):
        return TableFiles(source)
    assert isinstance(source, PythonSource), "the other kinds go on where they stopped, or have days"
    table: Table = _from_python(source, folder, _TIMELESS)
    return table


def open_feed(source: Source, folder: Path, now: Clock = utc_now) -> Feed:
    """The feed of a source that goes on where it stopped; `now` is asked where the source does not tell the time.

    Raises SpecError for one that does not go on.
    """
    if not source.goes_on:
        raise SpecError(f"source `{source.name}` has no cursor: it is read by days, or whole.")
    if is_adapted(source):
        return AdaptedFeed(source, open_feed(as_it_lies(source), folder, now))
    if isinstance(source, PythonSource):
        return PythonFeed(source, folder)
    if isinstance(source, FilesSource):
        return FilesFeed(source)
    if isinstance(source, SqlSource):
        return SqlFeed(source)
    return RestFeed(source, now) if isinstance(source, RestSource) else _open_stream(source, now)


def _open_stream(source: StreamSource, now: Clock) -> Feed:
    # The brokers' libraries are loaded by those who have one: a second of CPU for both.
    if isinstance(source.broker, Nats):
        from mlplatform.ingest.nats_stream import NatsFeed

        return NatsFeed(source)
    from mlplatform.ingest.mqtt import MqttFeed

    return MqttFeed(source, now)


def open_source(source: Source, folder: Path) -> Reader | Table:
    """Whichever of the two it is, to ask for its fingerprint."""
    return open_table(source, folder) if source.time_column is None else open_reader(source, folder)


def _from_python(source: PythonSource, folder: Path, methods: Sequence[str]) -> Any:
    path = folder / f"{source.module}.py"
    calls = ", ".join(f"`{_SIGNATURES.get(name, f'{name}()')}`" for name in methods)
    must_hold = f"`class Reader` with `__init__(self, params, spec)`, {calls}"
    reader_class = getattr(load_module(folder, source.module, must_hold), "Reader", None)
    if not isinstance(reader_class, type):
        raise SpecError(f"source `{source.name}`: {path} must hold {must_hold}.")
    missing = [name for name in methods if not hasattr(reader_class, name)]
    if missing:
        raise SpecError(f"source `{source.name}`: Reader in {path} lacks {', '.join(missing)}; it must be {must_hold}.")
    return reader_class(source.params, source)
