"""Files as one SQL relation, each row as it stands in its file. Nothing is cast and nothing skipped here."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.csv import CsvLayout, csv_layout
from mlplatform.ingest.dialect import text_sql as _text
from mlplatform.ingest.json_lines import json_sql
from mlplatform.ingest.named_files import NO_FOLDERS, compression, listed
from mlplatform.ingest.parquet import parquet_sql
from mlplatform.ingest.place import File

__all__ = ["scan_sql", "source_errors"]


def scan_sql(con: duckdb.DuckDBPyConnection, files: Sequence[File], kind: str, wanted: Sequence[str]) -> str:
    """SQL of a relation over all files, in their order; columns that one of them lacks are NULL in its rows.

    A folder that is called `name=value` is no column.
    """
    if kind == "parquet":
        return parquet_sql(con, files)
    if kind == "json":
        return json_sql(con, files)
    return " UNION ALL BY NAME ".join(_csv_sql(group, layout) for layout, group in _runs(con, files, wanted))


@contextmanager
def source_errors(files: Sequence[File]) -> Iterator[None]:
    """Says DuckDB's errors about a file in terms of the file: its name, the line, what to do."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
        raise  # a wrong query is a bug here, not in the file
    except (duckdb.Error, UnicodeDecodeError) as error:  # a damaged Parquet file has no class of its own
        raise SourceError(_explain(str(error), files)) from error


def _runs(
    con: duckdb.DuckDBPyConnection, files: Sequence[File], wanted: Sequence[str]
) -> Iterator[tuple[CsvLayout, list[File]]]:
    """Neighbouring files of one layout together, so that a thousand daily files are one scan."""
    run: list[File] = []
    layout = csv_layout(con, files[0], wanted)
    for file in files:
        own = csv_layout(con, file, wanted)
        if own != layout:
            yield layout, run
            layout, run = own, []
        run.append(file)
    yield layout, run


def _csv_sql(files: Sequence[File], layout: CsvLayout) -> str:
    """All columns as text: a value that is no number must reach the contract, not stop the file or become NULL."""
    columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in layout.columns)
    return (
        f"SELECT * FROM read_csv({listed(files)}, {compression(files)}{NO_FOLDERS}, "
        "auto_detect = false, header = true, strict_mode = true, "
        f"delim = {_text(layout.delimiter)}, quote = '\"', escape = '\"', columns = {{{columns}}})"
    )


def _explain(message: str, files: Sequence[File]) -> str:
    named = next((file.name for file in files if file.name in message), None)
    where = named or (files[0].name if len(files) == 1 else f"one of {files[0].name} ... {files[-1].name}")
    line = _line(message)
    place = f"{where}, line {line}" if line else where
    for pattern, what in _EXPLANATIONS:
        if re.search(pattern, message):
            return f"{place}: {what}"
    return f"{place} cannot be read: {message.splitlines()[0]}"


def _line(message: str) -> int | None:
    if told := re.search(r"Line: (\d+)", message):
        return int(told[1])
    # Of JSON DuckDB counts the line behind (at 1.5.5).
    told = re.search(r"at byte \d+ in line (\d+)", message)
    return int(told[1]) - 1 if told else None


_EXPLANATIONS = (
    (
        r"Malformed JSON(?!.*UTF-8)",
        "it is no JSON object. The file was cut off, or it is not one object a line. Export it again; nothing of this "
        "batch was loaded.",
    ),
    (
        r"Expected Number of Columns: \d+ Found: \d+",
        "the number of fields is not that of the header. The file was cut off, a field holds the delimiter without "
        "quotes, or the first line is none with names. Export it again; nothing of this batch was loaded.",
    ),
    (
        r"nterminated quote|quoted value",
        "a quote is opened and never closed. The file was cut off, or a value holds a lone quote. Export it again; "
        "nothing of this batch was loaded.",
    ),
    (r"(?i)unicode|utf-?8", "the text is not UTF-8. Save the file as UTF-8."),
    (
        r"No magic bytes|too small to be a Parquet|[Mm]etadata|footer|corrupt|Snappy|ZSTD|decompress|TProtocol",
        "it is not a whole Parquet file. It was cut off while it was written or copied; copy or export it again.",
    ),
)
