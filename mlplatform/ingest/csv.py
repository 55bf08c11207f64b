"""What must be known of a CSV file before DuckDB reads it: its delimiter and its columns.

Found by looking for the columns that the declaration names, not by guessing from the values: DuckDB's own detection
drops a quote here or a header there when a file is damaged, and then reads something else than what was written.
"""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.dialect import text_sql

__all__ = ["CsvLayout", "csv_layout"]

_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class CsvLayout:
    """How the fields of a CSV file are divided, and what they are called."""

    delimiter: str
    columns: tuple[str, ...]


def csv_layout(con: duckdb.DuckDBPyConnection, name: str, wanted: Sequence[str]) -> CsvLayout:
    """The layout that shows the most `wanted` columns in the first line of the file that `con` reads by `name`.

    Raises SourceError for an empty file, text that is not UTF-8, or two columns of one name.
    """
    header = _first_line(con, name)
    layouts = [CsvLayout(mark, _names(header, mark)) for mark in _DELIMITERS]
    best = max(layouts, key=lambda layout: (len(set(layout.columns) & set(wanted)), len(layout.columns)))
    names = [name.lower() for name in best.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"{name}, line 1: the column {', '.join(twice)} is there twice. Rename one of them; "
            "or, if this line is a row already, put one with the names of the columns before it."
        )
    return best


def _first_line(con: duckdb.DuckDBPyConnection, name: str) -> str:
    remote = "://" in name or name.endswith(".zst")
    line = _line_by_duckdb(con, name) if remote else _line_of_file(Path(name))
    if not line.strip():
        raise SourceError(f"{name} is empty: not even a header line. Export it again, or take it out of the folder.")
    return line.rstrip("\r\n")


def _line_by_duckdb(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The first line as one field: neither a delimiter nor a quote that a text has."""
    found = con.execute(
        f"SELECT line FROM read_csv({text_sql(name)}, auto_detect = false, header = false, strict_mode = false, "
        "columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '') LIMIT 1"
    ).fetchone()
    return str(found[0] or "").removeprefix("\ufeff") if found else ""


def _line_of_file(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return file.readline().decode("utf-8-sig")  # the line alone: a text file decodes ahead of what it returns
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}, line 1, is not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is not a whole gzip file: {error}. Copy or export it again.") from error


def _names(header: str, delimiter: str) -> tuple[str, ...]:
    fields = next(csv.reader([header], delimiter=delimiter))
    # An index that pandas wrote has no name.
    return tuple(name.strip() or f"column{position}" for position, name in enumerate(fields))
