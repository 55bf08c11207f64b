"""CSV, JSON lines and Parquet files as a source."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.contracts.casting import EARLIEST, quote, timestamp_sql
from mlplatform.errors import SourceError
from mlplatform.ingest.columns import given_names, renamed, require_columns
from mlplatform.ingest.place import File, found_files, opened
from mlplatform.ingest.scan import scan_sql, source_errors
from mlplatform.ingest.whole import require_whole
from mlplatform.spec import FilesSource

__all__ = ["FilesReader", "NewestRows", "TableFiles", "latest_of"]

# Local times run up to 14 hours ahead of UTC, in which a file's own time is known.
_CLOCK_SLACK = timedelta(days=1)

# What is added to the rows for a query; no file has columns of these names.
_TIME, _POSITION = (quote(f"{name} {uuid.uuid4()}") for name in ("time", "position"))

_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".jsonl": "json", ".ndjson": "json", ".json": "json"}


@dataclass(frozen=True)
class _Extent:
    """What a first pass over the files tells."""

    first: date
    last: date
    strays: pa.Table
    """Rows without a usable time: `position` in the files, the `day` they are counted to."""


class _Files:
    """The files of a source as one relation. Whoever holds one looks at them once; open another to see changes."""

    def __init__(self, spec: FilesSource, files: Sequence[File] | None = None) -> None:
        self.spec = spec
        self._given = files
        self._whole = False

    def fingerprint(self) -> str:
        """Hash of the files' names, sizes and times of change."""
        states = [(file.name, file.state) for file in self._files]
        return hashlib.sha256(repr(states).encode()).hexdigest()[:16]

    @cached_property
    def _files(self) -> Sequence[File]:
        return found_files(self.spec) if self._given is None else self._given

    @cached_property
    def _in_file(self) -> dict[str, str]:
        """Contract name -> name in the file."""
        return given_names(self.spec)

    @contextmanager
    def _rows(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with the views `rows` (contract names, _TIME: NULL if unreadable) and `numbered`."""
        self._require_whole()
        with source_errors(self._files), opened(self.spec) as con:
            con.execute("SET TimeZone = 'UTC'")
            scan = scan_sql(con, self._files, self._format, list(self._in_file.values()))
            schema = con.execute(f"SELECT * FROM ({scan}) LIMIT 0").to_arrow_table().schema
            require_columns(self._in_file, schema.names, source=self.spec.name, where=self._files[0].name)
            selected = renamed(self._in_file, schema.names)
            con.execute(f"CREATE TEMP VIEW rows AS SELECT {selected}, {self._moment(schema)} AS {_TIME} FROM ({scan})")
            con.execute(f"CREATE TEMP VIEW numbered AS SELECT *, row_number() OVER () AS {_POSITION} FROM rows")
            yield con

    def _require_whole(self) -> None:
        """Looked at once, however often the rows are read."""
        if not self._whole:
            require_whole(self._files, self.spec)
            self._whole = True

    @property
    def _format(self) -> str:
        if self.spec.format != "auto":
            return self.spec.format
        return _FORMATS.get(self._files[0].suffix, "csv")

    def _moment(self, schema: pa.Schema) -> str:
        if self.spec.time_column is None:
            return "CAST(NULL AS TIMESTAMP)"
        clock = self._in_file[self.spec.time_column]
        return timestamp_sql(quote(clock), schema.field(clock).type)


def latest_of(files: Sequence[File]) -> datetime:
    """No row can be later than the newest file."""
    return max(file.changed for file in files) + _CLOCK_SLACK


class TableFiles(_Files):
    """All rows of the files that match `path`, whose rows have no time."""

    def read_all(self) -> pa.Table:
        """The rows in the files' order; CSV values are text, Parquet values as typed there."""
        with self._rows() as con:
            return con.execute(f"SELECT * EXCLUDE ({_TIME}) FROM rows").to_arrow_table()


class FilesReader(_Files):
    """All rows of the files that match `path`, under the contract's column names; columns not named come along.

    A row whose time cannot be read, or lies behind the moment its file was written, belongs to the day of the usable
    row before it: it comes with that day's batch, once, for the contract to refuse it. A reader looks at its files
    once; open another to see what has changed since.
    """

    def available(self) -> tuple[date, date] | None:
        """First day with rows, and the day behind the last; None while the files hold no row."""
        extent = self._extent
        return (extent.first, extent.last + timedelta(days=1)) if extent else None

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end), in the files' order; CSV values are text, Parquet values as typed there."""
        bounds = {"start": _midnight(start), "end": _midnight(end), "latest": self._latest}
        inside = f"{_TIME} >= $start AND {_TIME} < $end AND {_TIME} <= $latest"
        strays, replaced = self._strays(start, end), self._replaced
        with self._rows() as con:
            if strays is None and replaced is None:
                query = f"SELECT * EXCLUDE ({_TIME}) FROM rows WHERE {inside}"
            else:
                con.register("strays", _NO_STRAYS if strays is None else strays)
                con.register("replaced", _NO_STRAYS if replaced is None else replaced)
                inside = f"(({inside}) OR {_POSITION} IN (SELECT position FROM strays))"
                inside += f" AND {_POSITION} NOT IN (SELECT position FROM replaced)"
                query = f"SELECT * EXCLUDE ({_TIME}, {_POSITION}) FROM numbered WHERE {inside} ORDER BY {_POSITION}"
            return con.execute(query, bounds).to_arrow_table()

    @property
    def _replaced(self) -> pa.Table | None:
        """Rows that are none of their source any more, by `position`; None: all of them are."""
        return None

    @property
    def _clock(self) -> str:
        assert self.spec.time_column is not None, "a source without a time is read by TableFiles"
        return self.spec.time_column

    @cached_property
    def _latest(self) -> datetime:
        """No row can be later than the newest file."""
        return latest_of(self._files)

    @cached_property
    def _extent(self) -> _Extent | None:
        bounds = {"earliest": EARLIEST, "latest": self._latest}
        with self._rows() as con:
            first, last, rows, usable = _row(con, _EXTENT, bounds)
            if rows and not usable:
                example = _row(con, f"SELECT any_value({quote(self._clock)})::VARCHAR FROM rows", {})[0]
                raise SourceError(self._no_time(example))
            if not rows:
                return None
            strays = con.execute(_STRAYS, bounds | {"first": first}).to_arrow_table() if usable < rows else _NO_STRAYS
            return _Extent(first, last, strays)

    def _strays(self, start: date, end: date) -> pa.Table | None:
        extent = self._extent
        if extent is None or not len(extent.strays):
            return None
        day = extent.strays["day"]
        return extent.strays.filter(pc.and_(pc.greater_equal(day, start), pc.less(day, end)))

    def _no_time(self, example: str) -> str:
        return (
            f"source `{self.spec.name}`: no value of `{self._in_file[self._clock]}` in {self._files[0].name} is a "
            f"usable time, e.g. '{example}'. Write times as YYYY-MM-DD hh:mm:ss (UTC, or with an offset), none of them "
            f"later than the file itself ({self._latest:%Y-%m-%d})."
        )


class NewestRows(FilesReader):
    """Of rows of one key the last in the files' order, whatever the others' days: what a feed would have stored."""

    @cached_property
    def _replaced(self) -> pa.Table | None:
        key = ", ".join(map(quote, self.spec.key))
        last = f"SELECT {key}, max({_POSITION}) AS last FROM numbered GROUP BY ALL HAVING count(*) > 1"
        with self._rows() as con:
            query = f"SELECT {_POSITION} AS position FROM numbered JOIN ({last}) USING ({key}) WHERE {_POSITION} < last"
            found = con.execute(query).to_arrow_table()
        return found if len(found) else None


_USABLE = f"{_TIME} BETWEEN $earliest AND $latest"
_FIRST, _LAST = (f"{end}({_TIME}) FILTER ({_USABLE})::DATE" for end in ("min", "max"))
_EXTENT = f"SELECT {_FIRST}, {_LAST}, count(*), count(*) FILTER ({_USABLE}) FROM rows"
_STRAYS = f"""
SELECT {_POSITION} AS position,
       coalesce(last_value(usable IGNORE NULLS) OVER (ORDER BY {_POSITION}), $first)::DATE AS day
FROM (SELECT {_POSITION}, CASE WHEN {_USABLE} THEN {_TIME} END AS usable FROM numbered)
QUALIFY usable IS NULL
"""
_NO_STRAYS = pa.table({"position": pa.array([], pa.int64()), "day": pa.array([], pa.date32())})


def _row(con: duckdb.DuckDBPyConnection, query: str, bounds: dict[str, Any]) -> tuple[Any, ...]:
    return con.execute(query, bounds).fetchall()[0]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
