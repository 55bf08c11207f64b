"""The rows of an origin in a DuckDB of their own, exactly as the source that is declared for them will read them."""

import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from mlplatform.contracts.casting import quote
from mlplatform.errors import ScaffoldError
from mlplatform.ingest.dialect import text_sql
from mlplatform.ingest.open import open_table
from mlplatform.ingest.place import found_files, local_file, opened
from mlplatform.ingest.scan import scan_sql, source_errors
from mlplatform.ingest.whole import require_whole
from mlplatform.scaffold.origin import Origin
from mlplatform.scaffold.parquet import durations, stored_names
from mlplatform.spec import FilesSource, SqlSource

__all__ = ["TABLE", "column_comments", "column_names", "duplicate_rows", "opened_rows", "row_count"]

TABLE = "incoming"
_MEMORY = "2GB"
_BLOCK = 16_384
"""Bytes, the least that there is: of each column one is held while rows are written, and columns may be many."""
_WIDE, _MOST_VALUES = 1_000, 100_000_000


@contextmanager
def opened_rows(origin: Origin) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the table `incoming`: all rows, in a file of its own.

    Of a file more rows fit than the memory holds; a table of a database goes through the memory as a whole.

    Raises:
        ScaffoldError: a CSV file that is not in UTF-8, a table with too many values, or two columns of one name.
        SourceError: the rows cannot be read.
    """
    with TemporaryDirectory(prefix="mlplatform-new-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "memory_limit": _MEMORY,
            "temp_directory": folder,
        }
        with duckdb.connect(":memory:", config=config) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.execute(f"ATTACH {text_sql(str(Path(folder) / 'rows.duckdb'))} AS rows (BLOCK_SIZE {_BLOCK}); USE rows")
            with _enough_memory():
                _read(con, origin, Path(folder))
                yield con


@contextmanager
def _enough_memory() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise ScaffoldError(
            f"the table does not fit into the {_MEMORY} that looking at one may use. Keep the columns that may matter, "
            "or fewer rows"
        ) from error


def _read(con: duckdb.DuckDBPyConnection, origin: Origin, folder: Path) -> None:
    if origin.is_remote:
        _from_afar(con, origin, folder)
    elif origin.is_file:
        _from_file(con, origin)
    else:
        _from_database(con, origin)


def _from_file(con: duckdb.DuckDBPyConnection, origin: Origin) -> None:
    path = Path(origin.place)
    lines = _utf8_lines(path) if origin.kind == "csv" else None
    files = [local_file(path)]
    require_whole(files)
    with source_errors(files), _enough_memory():
        scan = scan_sql(con, files, origin.kind, [])
        _prepare_for_width(con, path, scan, lines)
        con.execute(f"CREATE TABLE {TABLE} AS {scan}")
        units = _looked_into(con, files[0].literal, str(path)) if origin.kind == "parquet" else {}
    con.execute("RESET threads")
    _remember(con, units)


def _prepare_for_width(con: duckdb.DuckDBPyConnection, path: Path, scan: str, lines: int | None) -> None:
    """One thread writes, since each holds blocks of its own: 10,000 rows of 10,000 columns then fit into the memory.

    Raises ScaffoldError, in seconds, where so many columns have so many rows that looking would take very long.
    """
    columns = len(con.execute(f"DESCRIBE {scan}").fetchall())
    if columns <= _WIDE:
        return
    rows = lines or (con.execute(f"SELECT count(*) FROM ({scan})").fetchone() or (0,))[0]
    if rows * columns > _MOST_VALUES:
        raise ScaffoldError(
            f"{path} has {columns:,} columns and about {rows:,} rows: a table of more than {_WIDE:,} columns may "
            f"have {_MOST_VALUES / 1e6:,.0f} million values. Keep the columns that may matter, or fewer rows"
        )
    con.execute("SET threads = 1")


def _from_afar(con: duckdb.DuckDBPyConnection, origin: Origin, folder: Path) -> None:
    """Copied here whole: the values are asked for many times."""
    source = FilesSource.model_validate({**origin.declared(), "name": "rows", "key": ["row_key"], "time_column": None})
    copied = folder / "rows.parquet"
    files = found_files(source)
    if len(files) > 1:
        raise ScaffoldError(
            f"--from {origin.place} names {len(files)} files ({files[0].name}, {files[1].name}, ...): name one; "
            "`path` in defs.yaml may name them all afterwards"
        )
    require_whole(files, source)
    with source_errors(files), opened(source) as afar:
        scan = scan_sql(afar, files, origin.kind, [])
        afar.execute(f"COPY ({scan}) TO {text_sql(str(copied))} (FORMAT parquet)")
        units = _looked_into(afar, files[0].literal, files[0].name) if origin.kind == "parquet" else {}
    con.execute(f"CREATE TABLE {TABLE} AS FROM {text_sql(str(copied))}")
    copied.unlink()
    _remember(con, units)


def _looked_into(con: duckdb.DuckDBPyConnection, file: str, place: str) -> dict[str, str]:
    """Of a Parquet file: which columns are durations, and in what. `file`: as DuckDB reads it; `place`: for people."""
    _require_distinct(stored_names(con, file), place)
    return durations(con, file)


def _remember(con: duckdb.DuckDBPyConnection, units: dict[str, str]) -> None:
    """As comments on the columns, where `look` finds them."""
    for name, unit in units.items():
        con.execute(f"COMMENT ON COLUMN {TABLE}.{quote(name)} IS {text_sql(unit)}")


def _require_distinct(names: Sequence[str], place: str) -> None:
    """Raises ScaffoldError for names that are one in SQL: who named a column would get another one."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.lower(), []).append(name)
    if twice := next((found for found in alike.values() if len(found) > 1), None):
        raise ScaffoldError(
            f"{place} has {len(twice)} columns that are one name in SQL: {', '.join(map(repr, twice))}. Rename all but "
            "one, or take them out; upper and lower case do not tell columns apart"
        )


def _from_database(con: duckdb.DuckDBPyConnection, origin: Origin) -> None:
    fields = {**origin.declared(), "name": "rows", "key": ["row_key"], "time_column": None}
    source = SqlSource.model_validate(fields).model_copy(update={"key": []})
    with _known(origin):
        rows = open_table(source, Path()).read_all()
    con.register("_read", rows)
    con.execute(f"CREATE TABLE {TABLE} AS FROM _read")
    con.unregister("_read")


@contextmanager
def _known(origin: Origin) -> Iterator[None]:
    """A secret that was typed lies where the source will look for it, for as long as it is read and no longer."""
    if origin.secret is None:
        yield
        return
    before = os.environ.get(origin.place)
    os.environ[origin.place] = origin.secret
    try:
        yield
    finally:
        if before is None:
            del os.environ[origin.place]
        else:
            os.environ[origin.place] = before


def _utf8_lines(path: Path) -> int:
    """How many lines the file has. The first that is not UTF-8 is named: often it is what somebody pasted."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                number += 1
                _require_text(line, number, path)
    except (EOFError, gzip.BadGzipFile) as error:
        raise ScaffoldError(f"{path} is not a whole gzip file: {error}. Copy or export it again.") from error
    return number


def _require_text(line: bytes, number: int, path: Path) -> None:
    if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ScaffoldError(f"{path} is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}")
    if b"\0" in line:
        raise ScaffoldError(f"{path}, line {number}, holds a zero byte: it is no CSV file. Export it again as CSV.")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        near = line[max(0, error.start - 20) : error.start + 20].decode("cp1252", errors="replace").strip()
        raise ScaffoldError(
            f"{path}, line {number}, is not UTF-8 (near {near!r}, read as Windows-1252). If the whole file is of that "
            f"kind: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}; if lines of several encodings were "
            "put together, convert each part before."
        ) from error


def row_count(con: duckdb.DuckDBPyConnection, where: str = "true") -> int:
    """Rows of the table."""
    return int((con.execute(f"SELECT count(*) FROM {TABLE} WHERE {where}").fetchone() or (0,))[0])


def column_names(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the table's columns as they came."""
    return [name for name, *_ in con.execute(f"DESCRIBE {TABLE}").fetchall()]


def column_comments(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Column -> the unit of its durations."""
    found = con.execute(
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = $table AND comment IS NOT NULL",
        {"table": TABLE},
    ).fetchall()
    return dict(found)


def duplicate_rows(con: duckdb.DuckDBPyConnection) -> int:
    """How many rows say just what an earlier one says."""
    columns = ", ".join(quote(name) for name in column_names(con)[:500])
    asked = f"SELECT count(*) - count(DISTINCT hash({columns})) FROM {TABLE}"
    return int((con.execute(asked).fetchone() or (0,))[0])
