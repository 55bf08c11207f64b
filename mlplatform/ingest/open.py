"""From a declared source to its reader."""

from pathlib import Path

from mlplatform.errors import SpecError
from mlplatform.ingest.base import Reader
from mlplatform.ingest.files import FilesReader
from mlplatform.spec import FilesSource, PythonSource, Source
from mlplatform.spec.module import load_module

__all__ = ["open_reader"]

_MUST_HOLD = "`class Reader` with `__init__(self, params, spec)`, `available()`, `read(start, end)` and `fingerprint()`"


def open_reader(source: Source, folder: Path) -> Reader:
    """The reader of a source; `folder` is the use case's, which holds its defs.yaml.

    Raises SpecError when a python source's file or class is missing or refuses its params.
    """
    if isinstance(source, FilesSource):
        return FilesReader(source)
    return _python_reader(source, folder)


def _python_reader(source: PythonSource, folder: Path) -> Reader:
    path = folder / f"{source.module}.py"
    reader_class = getattr(load_module(folder, source.module, _MUST_HOLD), "Reader", None)
    if not isinstance(reader_class, type):
        raise SpecError(f"source `{source.name}`: {path} must hold {_MUST_HOLD}.")
    missing = [name for name in ("available", "read", "fingerprint") if not hasattr(reader_class, name)]
    if missing:
        raise SpecError(
            f"source `{source.name}`: Reader in {path} lacks {', '.join(missing)}; it must be {_MUST_HOLD}."
        )
    reader: Reader = reader_class(source.params, source)
    return reader
