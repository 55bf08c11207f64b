"""From a declared source to its reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlplatform.errors import SpecError
from mlplatform.ingest.adapted import AdaptedReader, AdaptedTable, as_it_lies, is_adapted
from mlplatform.ingest.base import Reader, Table
from mlplatform.ingest.files import FilesReader, TableFiles
from mlplatform.ingest.sql import SqlReader, SqlTable
from mlplatform.spec import FilesSource, PythonSource, Source, SqlSource
from mlplatform.spec.module import load_module

__all__ = ["open_reader", "open_source", "open_table"]

_TIMED = ("available", "read", "fingerprint")
_TIMELESS = ("read_all", "fingerprint")
_SIGNATURES = {"available": "available()", "read": "read(start, end)", "read_all": "read_all()"}


def open_reader(source: Source, folder: Path) -> Reader:
    """The reader of a source whose rows have a time; `folder` is the use case's, which holds its defs.yaml.

    Raises SpecError when a python source's file or class is missing or refuses its params, or its rows have no time.
    """
    if source.time_column is None:
        raise SpecError(f"source `{source.name}` has no time_column: it is read whole, with `open_table`.")
    if is_adapted(source):
        return AdaptedReader(source, open_reader(as_it_lies(source), folder))
    if isinstance(source, SqlSource):
        return SqlReader(source)
    reader: Reader = FilesReader(source) if isinstance(source, FilesSource) else _from_python(source, folder, _TIMED)
    return reader


def open_table(source: Source, folder: Path) -> Table:
    """The same for a source without a time."""
    if is_adapted(source):
        return AdaptedTable(source, open_table(as_it_lies(source), folder))
    if isinstance(source, SqlSource):
        return SqlTable(source)
    table: Table = TableFiles(source) if isinstance(source, FilesSource) else _from_python(source, folder, _TIMELESS)
    return table


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
