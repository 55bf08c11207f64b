"""Files as one SQL relation, each row as it stands in its file. Nothing is cast and nothing skipped here."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.csv import CsvLayout, csv_layout

__all__ = ["scan_sql", "source_errors"]


def scan_sql(files: Sequence[Path], kind: str, wanted: Sequence[str]) -> str:
    """SQL of a relation over all files, in their order; columns that one of them lacks are NULL in its rows."""
    if kind == "parquet":
        for file in files:
            _refuse_empty(file)
        return f"SELECT * FROM read_parquet({_list(files)}, union_by_name = true)"
    return " UNION ALL BY NAME ".join(_csv_sql(group, layout) for layout, group in _runs(files, wanted))


@contextmanager
def source_errors(files: Sequence[Path]) -> Iterator[None]:
    """Says DuckDB's errors about a file in terms of the file: its name, the line, what to do."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
        raise  # a wrong query is a bug here, not in the file
    except (duckdb.Error, UnicodeDecodeError) as error:  # a damaged Parquet file has no class of its own
        raise SourceError(_explain(str(error), files)) from error


def _refuse_empty(file: Path) -> None:
    if file.stat().st_size == 0:
        raise SourceError(f"{file} is empty (0 bytes). Export it again, or take it out of the folder.")


def _runs(files: Sequence[Path], wanted: Sequence[str]) -> Iterator[tuple[CsvLayout, list[Path]]]:
    """Neighbouring files of one layout together, so that a thousand daily files are one scan."""
    run: list[Path] = []
    layout = csv_layout(files[0], wanted)
    for file in files:
        own = csv_layout(file, wanted)
        if own != layout:
            yield layout, run
            layout, run = own, []
        run.append(file)
    yield layout, run


def _csv_sql(files: Sequence[Path], layout: CsvLayout) -> str:
    """All columns as text: a value that is no number must reach the contract, not stop the file or become NULL."""
    columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in layout.columns)
    return (
        f"SELECT * FROM read_csv({_list(files)}, auto_detect = false, header = true, strict_mode = true, "
        f"delim = {_text(layout.delimiter)}, quote = '\"', escape = '\"', columns = {{{columns}}})"
    )


def _explain(message: str, files: Sequence[Path]) -> str:
    named = next((str(file) for file in files if str(file) in message), None)
    where = named or (str(files[0]) if len(files) == 1 else f"one of {files[0]} ... {files[-1]}")
    line = re.search(r"Line: (\d+)", message)
    place = f"{where}, line {line[1]}" if line else where
    for pattern, what in _EXPLANATIONS:
        if re.search(pattern, message):
            return f"{place}: {what}"
    return f"{place} cannot be read: {message.splitlines()[0]}"


_EXPLANATIONS = (
    (
        r"Expected Number of Columns: \d+ Found: \d+",
        "the number of fields is not that of the header. The file was cut off, or a field holds the delimiter without "
        "quotes. Export it again; nothing of this batch was loaded.",
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


def _list(files: Sequence[Path]) -> str:
    return f"[{', '.join(_text(str(file)) for file in files)}]"


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
