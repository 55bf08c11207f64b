"""A table or a query read on from the newest value of a column."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation, localcontext

import pyarrow as pa

from mlplatform.errors import SourceError
from mlplatform.ingest.batch import Batch, Batches, ahead_of_the_clock
from mlplatform.ingest.columns import require_columns
from mlplatform.ingest.database import OpenDatabase, open_database
from mlplatform.ingest.days import Days
from mlplatform.ingest.dialect import text_sql
from mlplatform.ingest.sql import SqlReader, SqlTable, latest_moment
from mlplatform.spec.source import SqlCursor

__all__ = ["SqlFeed"]


class SqlFeed(SqlTable):
    """Rows in the order of the cursor column, behind its stored value.

    A run begins with the rows of the stored value itself: more of them may have come. Rows without a value in that
    column cannot be ordered: they come with the first batch of every run. Both are stored once by key. A row whose time
    lies ahead of the database's clock is left out until then, and named: behind it no other row would ever come.
    """

    @property
    def _cursor(self) -> SqlCursor:
        assert self.spec.cursor is not None, "a source without a cursor is read by SqlReader or SqlTable"
        return self.spec.cursor

    def batches(self, after: str | None) -> Batches:
        """At most about `cursor.rows` rows each: those of one value stay together."""
        behind, first = self._set_back(after), True
        while True:
            # A connection for each batch: between two of them the lake is written, and the server may restart.
            with open_database(self.spec) as database:
                columns = self._columns(database)
                column = self._column(database, columns)
                newest = column.newest(behind, self._cursor.rows, itself=first)
                parts = [
                    *([f"{column.own} IS NULL"] if first else []),
                    *([column.up_to(newest, behind, itself=first)] if newest is not None else []),
                ]
                rows = self._rows(database, columns, " OR ".join(parts)) if parts else None
                left_out = column.left_out() if first else None
            if rows is not None and (len(rows) or newest is not None or left_out):
                name = f"to {self._cursor.column} {newest}"
                yield Batch(name, rows, cursor=newest, latest=column.latest, left_out=left_out)
            if newest is None:
                return
            first, behind = False, newest

    def pending(self, after: str | None) -> str | None:
        """The newest value of the column, and how many rows it is behind."""
        with open_database(self.spec) as database:
            column = self._column(database, self._columns(database))
            where = f"WHERE {column.behind(after)}" if after is not None else ""
            asked = (
                f"SELECT count(*) AS n, {column.text(f'max({column.own})')} AS newest FROM {database.relation} {where}"
            )
            found = database.ask(asked).to_pylist()[0]
            # SQLite's numbers arrive as text.
            return f"{found['n']} to {found['newest']}" if int(found["n"]) else None

    def between(self, start: date, end: date) -> Batches:
        """The rows of these days, by the time column."""
        if self.spec.time_column is None:
            raise SourceError(f"source `{self.spec.name}` has no time_column, so days of it cannot be read again.")
        for days in Days(start, end).chunks(31):
            yield Batch(str(days), SqlReader(self.spec).read(days.start, days.end), days)

    def _columns(self, database: OpenDatabase) -> pa.Schema:
        columns = super()._columns(database)
        where = f"the table {self.spec.table}" if self.spec.table else "the query"
        require_columns({"cursor": self._cursor.column}, columns.names, source=self.spec.name, where=where)
        return columns

    def _column(self, database: OpenDatabase, columns: pa.Schema) -> "_CursorColumn":
        kind = columns.field(self._cursor.column).type
        return _CursorColumn(database, self._cursor.column, kind, latest_moment(database))

    def _set_back(self, after: str | None) -> str | None:
        """The stored value less the overlap."""
        overlap = self._cursor.overlap
        if after is None or not overlap:
            return after
        after = after.strip("'")  # SQLite's own way to write a text
        try:
            number = Decimal(after)
        except InvalidOperation:
            number = Decimal("nan")
        if number.is_finite():
            # Serial numbers go beyond 2^53, where a float has no units.
            with localcontext(prec=60):
                lower = number - Decimal(repr(overlap))
                whole = number == number.to_integral_value()
                return f"{lower.to_integral_value(ROUND_FLOOR) if whole else lower:f}"
        try:
            return (datetime.fromisoformat(after) - timedelta(seconds=overlap)).isoformat(" ")
        except ValueError:
            raise SourceError(
                f"source `{self.spec.name}`: the cursor `{after}` is neither a number nor a time, so it has no "
                "`overlap`; leave it out"
            ) from None


@dataclass(frozen=True)
class _CursorColumn:
    """The column that orders the rows of an open database: conditions on it, in the database's SQL."""

    database: OpenDatabase
    name: str
    arrives_as: pa.DataType
    latest: datetime
    """Behind this moment (UTC, no zone) no row can have happened."""

    @property
    def own(self) -> str:
        """Its name, quoted."""
        return self.database.dialect.quoted(self.name)

    @property
    def ahead(self) -> str | None:
        """Condition: a time that lies ahead; None where the column holds no times."""
        dialect = self.database.dialect
        if not dialect.is_time(self.arrives_as):
            return None
        bound = dialect.bound(self.latest, self.arrives_as)
        if not pa.types.is_string(self.arrives_as):
            return f"{self.own} > {bound}"
        # A text that is no time is ordered as a text. An index finds those that begin with so late a day.
        late, moment = (
            text_sql(str((self.latest - timedelta(days=2)).date())),
            dialect.moment(self.name, self.arrives_as),
        )
        return f"({self.own} > {late} AND CASE WHEN {moment} > {bound} THEN 1 ELSE 0 END = 1)"

    @property
    def in_order(self) -> str:
        """Condition: the row has a value, and not a time that lies ahead."""
        ahead = self.ahead
        return f"({self.own} IS NOT NULL{f' AND NOT {ahead}' if ahead else ''})"

    def left_out(self) -> str | None:
        """How many rows lie ahead, in words; None if there is none."""
        if self.ahead is None:
            return None
        asked = f"SELECT count(*) AS n, {self.text(f'max({self.own})')} AS last FROM {self.database.relation} WHERE "
        found = self.database.ask(asked + self.ahead).to_pylist()[0]
        if not int(found["n"]):
            return None
        return ahead_of_the_clock(int(found["n"]), self.name, str(found["last"]).strip("'"))

    def behind(self, value: str, *, itself: bool = False) -> str:
        """Condition: a row in order, whose value is greater, or the same with `itself`."""
        literal = self.database.dialect.literal(value, self.arrives_as)
        return f"({self.own} {'>=' if itself else '>'} {literal} AND {self.in_order})"

    def up_to(self, newest: str, behind: str | None, *, itself: bool) -> str:
        """Condition: a row in order, from `behind` (None: from the first) to `newest`."""
        lower = self.behind(behind, itself=itself) if behind is not None else self.in_order
        return f"({lower} AND {self.own} <= {self.database.dialect.literal(newest, self.arrives_as)})"

    def newest(self, behind: str | None, rows: int, *, itself: bool) -> str | None:
        """The value of the last of so many `rows`; None if there is none."""
        where = self.behind(behind, itself=itself) if behind is not None else self.in_order
        inner = f"SELECT {self.own} AS c FROM {self.database.relation} WHERE {where} ORDER BY {self.own} LIMIT {rows}"
        found = self.database.ask(f"SELECT {self.text('max(c)')} AS c FROM ({inner}) AS t").to_pylist()[0]["c"]
        return None if found is None else str(found)

    def text(self, value: str) -> str:
        """SQL: a value of the column as the text that is stored as cursor."""
        return self.database.dialect.text(value, self.arrives_as)
