"""Whether packed files are whole: DuckDB (1.5.5) reads one that was cut off up to its end, and says nothing."""

from collections.abc import Sequence

import pyarrow as pa

from mlplatform.errors import SourceError
from mlplatform.ingest.place import File
from mlplatform.ingest.stored_bytes import stored_bytes
from mlplatform.spec import FilesSource

__all__ = ["require_whole"]

_BLOCK = 2**20

# What Arrow says of the content; other errors are those of the disk or the network.
_DAMAGED = ("Truncated compressed stream", "zlib", "ZSTD")


def require_whole(files: Sequence[File], spec: FilesSource | None = None) -> None:
    """Unpacks each packed file once, a MiB at a time; those that are not packed cost nothing.

    Raises SourceError for the first that is cut off or damaged.
    """
    for file in files:
        if file.packed and file.size:
            _require_whole(file, file.packed, spec)


def _require_whole(file: File, packed: str, spec: FilesSource | None) -> None:
    with stored_bytes(file.name, spec) as stored:
        try:
            with pa.CompressedInputStream(stored, packed) as text:
                while text.read(_BLOCK):
                    pass
        except OSError as error:
            if not any(word in str(error) for word in _DAMAGED):
                raise
            raise SourceError(
                f"{file.name} is not a whole {packed} file: {error}. It was cut off while it was written or copied; "
                "copy or export it again. Nothing of this batch was loaded."
            ) from error
