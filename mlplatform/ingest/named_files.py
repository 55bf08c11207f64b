"""How DuckDB is told which files to read, and that their names say nothing about the rows."""

from collections.abc import Sequence

from mlplatform.ingest.dialect import text_sql
from mlplatform.ingest.place import File

__all__ = ["NO_FOLDERS", "compression", "listed"]

NO_FOLDERS = "hive_partitioning = false"
"""Otherwise a folder that is called `name=value` takes the place of the column of that name."""


def listed(files: Sequence[File]) -> str:
    """An SQL list of exactly these files."""
    return f"[{', '.join(text_sql(file.literal) for file in files)}]"


def compression(files: Sequence[File]) -> str:
    """DuckDB's option, or nothing for files of several: by itself it knows no `.GZ`, and a `?` ends a name for it."""
    kinds = {file.packed or "uncompressed" for file in files}
    return f"compression = '{kinds.pop()}', " if len(kinds) == 1 else ""
