"""A table or a query in a database of the user's own as a source."""

import hashlib
from datetime import date, datetime, time, timedelta
from functools import cached_property

import pyarrow as pa

from mlplatform.contracts.casting import EARLIEST
from mlplatform.ingest.columns import given_names, renamed, require_columns
from mlplatform.ingest.database import OpenDatabase, open_database
from mlplatform.ingest.time_column import TimeColumn
from mlplatform.spec import SqlSource

__all__ = ["SqlReader", "SqlTable", "latest_moment"]

# Local times run up to 14 hours ahead of UTC, in which the database's clock is known.
_CLOCK_SLACK = timedelta(days=1)
_DAY = timedelta(days=1)


class _Sql:
    """What a source with and one without a time have in common."""

    def __init__(self, spec: SqlSource) -> None:
        self.spec = spec
        self._given = given_names(spec)

    def _columns(self, database: OpenDatabase) -> pa.Schema:
        """The source's columns; all that the declaration names are among them."""
        schema = database.schema()
        where = f"the table {self.spec.table}" if self.spec.table else "the query"
        require_columns(self._given, schema.names, source=self.spec.name, where=where)
        return schema

    def _rows(self, database: OpenDatabase, columns: pa.Schema, condition: str) -> pa.Table:
        selected = database.dialect.values(columns)
        statement = f"SELECT {selected} FROM {database.relation} WHERE {condition}"
        return database.ask(statement, renamed(self._given, columns.names))


class SqlTable(_Sql):
    """All rows of a table or query whose rows have no time."""

    def read_all(self) -> pa.Table:
        """The rows typed or as text, in no certain order."""
        with open_database(self.spec) as database:
            return self._rows(database, self._columns(database), "1 = 1")

    def fingerprint(self) -> str:
        """Hash of the number of rows: a value that was changed shows at the next run, not here."""
        with open_database(self.spec) as database:
            return _hash(database.ask(f"SELECT count(*) AS n FROM {database.relation}").to_pylist())


class SqlReader(_Sql):
    """Rows of a table or query by the days in which they happened.

    A row whose time cannot be read, or lies more than a day ahead of the database's own clock, belongs to the newest
    day: it comes with that day's batch, for the contract to refuse it. A reader looks once for what days there are;
    open another to see what has changed since.
    """

    def available(self) -> tuple[date, date] | None:
        """First day with rows, and the day behind the last; None while there is no row."""
        return self._extent

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end), typed or as text, in no certain order."""
        newest = self._extent[1] - _DAY if self._extent else None
        with open_database(self.spec) as database:
            columns, latest = self._columns(database), latest_moment(database)
            when = self._time(database, columns)
            condition = when.within(_midnight(start), min(_midnight(end), latest))
            if newest is not None and start <= newest < end:
                condition = f"({condition} OR {when.outside(EARLIEST, latest)})"
            return self._rows(database, columns, condition)

    def fingerprint(self) -> str:
        """Hash of the first and the last day, and of number and newest time of the rows of days that are over.

        Only rows as far back as a change is read again (`look_back_days`) are counted. Of the day that it is, by the
        database's clock, only the first row counts: else a table that is being written to would always be new.
        """
        with open_database(self.spec) as database:
            when = self._time(database, self._columns(database))
            first, last = when.rough_days(EARLIEST, latest_moment(database))
            over = _midnight(database.clock().date())
            return _hash(first, last, *when.counted(self._read_again_from(last), over))

    @cached_property
    def _extent(self) -> tuple[date, date] | None:
        with open_database(self.spec) as database:
            return self._time(database, self._columns(database)).days(EARLIEST, latest_moment(database))

    def _time(self, database: OpenDatabase, columns: pa.Schema) -> TimeColumn:
        assert self.spec.time_column is not None, "a source without a time is read by SqlTable"
        name = self._given[self.spec.time_column]
        return TimeColumn(database, self.spec.name, name, columns.field(name).type)

    def _read_again_from(self, last: str | None) -> datetime:
        if self.spec.partition == "none" or last is None:
            return EARLIEST
        try:
            newest = date.fromisoformat(last)
        except ValueError:  # a text of SQLite's that is no time
            return EARLIEST
        return _midnight(newest - self.spec.look_back_days * _DAY)


def latest_moment(database: OpenDatabase) -> datetime:
    """Behind it no row can have happened."""
    return (database.clock() + _CLOCK_SLACK).replace(microsecond=0)


def _hash(*state: object) -> str:
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
