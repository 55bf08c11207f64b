"""What must be known of a CSV file before DuckDB reads it: its delimiter and its columns.

Found by looking for the columns that the declaration names, not by guessing from the values: DuckDB's own detection
drops a quote here or a header there when a file is damaged, and then reads something else than what was written.
"""

import csv
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.dialect import text_sql
from mlplatform.ingest.place import File
from mlplatform.spec.source import place_of

__all__ = ["CsvLayout", "csv_layout"]

_DELIMITERS = (",", ";", "\t", "|")

# Bytes; DuckDB reads no longer line.
_LONGEST = 2**21


@dataclass(frozen=True)
class CsvLayout:
    """How the fields of a CSV file are divided, and what they are called."""

    delimiter: str
    columns: tuple[str, ...]


def csv_layout(con: duckdb.DuckDBPyConnection, file: File, wanted: Sequence[str]) -> CsvLayout:
    """The layout that shows the most `wanted` columns in the first line of the file, which `con` can read.

    Raises SourceError for an empty file, text that is not UTF-8, or two columns of one name.
    """
    header = _first_line(con, file)
    layouts = [CsvLayout(mark, _names(header, mark)) for mark in _DELIMITERS]
    best = max(layouts, key=lambda layout: (len(set(layout.columns) & set(wanted)), len(layout.columns)))
    names = [name.lower() for name in best.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"{file.name}, line 1: the column {', '.join(twice)} is there twice. Rename one of them; "
            "or, if this line is a row already, put one with the names of the columns before it."
        )
    return best


def _first_line(con: duckdb.DuckDBPyConnection, file: File) -> str:
    by_python = place_of(file.name) == "local" and file.packed != "zstd"
    line = _line_of_file(file) if by_python else _line_by_duckdb(con, file)
    if not line.strip():
        raise SourceError(
            f"{file.name} is empty: not even a header line. Export it again, or take it out of the folder."
        )
    return line


def _line_by_duckdb(con: duckdb.DuckDBPyConnection, file: File) -> str:
    """The first line as one field: neither a delimiter nor a quote that a text has."""
    found = con.execute(
        f"SELECT line FROM read_csv({text_sql(file.literal)}, auto_detect = false, header = false, "
        f"strict_mode = false, compression = '{file.packed or 'uncompressed'}', hive_partitioning = false, "
        "columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '') LIMIT 1"
    ).fetchone()
    return str(found[0] or "").removeprefix("\ufeff").rstrip("\r\n") if found else ""


def _line_of_file(file: File) -> str:
    opened = gzip.open if file.packed else open
    try:
        with opened(file.name, "rb") as stored:
            # The line alone is decoded: a text file decodes ahead of what it returns.
            return _without_rows(stored.readline(_LONGEST)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file.name}, line 1, is not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{file.name} is not a whole gzip file: {error}. Copy or export it again.") from error


def _without_rows(line: bytes) -> bytes:
    """The header alone: in a file whose lines end with CR (old Macs', some devices') the rows come with it."""
    header, end, _ = line.rstrip(b"\r\n").partition(b"\r")
    return header if end and header.count(b'"') % 2 == 0 else line.rstrip(b"\r\n")


def _names(header: str, delimiter: str) -> tuple[str, ...]:
    try:
        fields = next(csv.reader([header], delimiter=delimiter))
    except csv.Error:  # not divided by this delimiter, the line is longer than a field may be
        fields = [header]
    # An index that pandas wrote has no name.
    return tuple(name.strip() or f"column{position}" for position, name in enumerate(fields))
