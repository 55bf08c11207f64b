"""A table or a query read on from the newest value of a column."""

from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation, localcontext

import pyarrow as pa

from mlplatform.errors import SourceError
from mlplatform.ingest.batch import Batch, Batches
from mlplatform.ingest.columns import require_columns
from mlplatform.ingest.database import OpenDatabase, open_database
from mlplatform.ingest.days import Days
from mlplatform.ingest.sql import SqlReader, SqlTable
from mlplatform.spec.source import SqlCursor

__all__ = ["SqlFeed"]


class SqlFeed(SqlTable):
    """Rows in the order of the cursor column, behind its stored value.

    Rows without a value in that column cannot be ordered: they come with the first batch of every run, and are stored
    once by key.
    """

    @property
    def _cursor(self) -> SqlCursor:
        assert self.spec.cursor is not None, "a source without a cursor is read by SqlReader or SqlTable"
        return self.spec.cursor

    def batches(self, after: str | None) -> Batches:
        """At most about `cursor.rows` rows each: those of one value stay together."""
        behind = self._set_back(after)
        first = True
        while True:
            # A connection for each batch: between two of them the lake is written, and the server may restart.
            with open_database(self.spec) as database:
                columns = self._columns(database)
                own, kind = database.dialect.quoted(self._cursor.column), columns.field(self._cursor.column).type
                newest = self._newest(database, own, kind, behind)
                latest = (database.clock() + timedelta(days=1)).replace(microsecond=0)
                parts = [
                    *([f"{own} IS NULL"] if first else []),
                    *([self._range(database, own, kind, behind, newest)] if newest is not None else []),
                ]
                rows = self._rows(database, columns, " OR ".join(parts)) if parts else None
            if rows is not None and (len(rows) or newest is not None):
                yield Batch(f"to {self._cursor.column} {newest}", rows, cursor=newest, latest=latest)
            if newest is None or newest == behind:
                return
            first, behind = False, newest

    def pending(self, after: str | None) -> str | None:
        """The newest value of the column, and how many rows it is behind."""
        with open_database(self.spec) as database:
            kind = self._columns(database).field(self._cursor.column).type
            own = database.dialect.quoted(self._cursor.column)
            where = f"WHERE {database.dialect.behind(own, after, kind)}" if after is not None else ""
            text = database.dialect.text(f"max({own})")
            asked = f"SELECT count(*) AS n, {text} AS newest FROM {database.relation} {where}"
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

    def _range(self, database: OpenDatabase, own: str, kind: pa.DataType, behind: str | None, newest: str) -> str:
        dialect = database.dialect
        lower = [dialect.behind(own, behind, kind)] if behind is not None else []
        return f"({' AND '.join([*lower, f'NOT ({dialect.behind(own, newest, kind)})'])} AND {own} IS NOT NULL)"

    def _newest(self, database: OpenDatabase, own: str, kind: pa.DataType, behind: str | None) -> str | None:
        """The value that ends the next batch; None if nothing is behind."""
        where = f"{own} IS NOT NULL" + (
            f" AND {database.dialect.behind(own, behind, kind)}" if behind is not None else ""
        )
        inner = f"SELECT {own} AS c FROM {database.relation} WHERE {where} ORDER BY {own} LIMIT {self._cursor.rows}"
        found = database.ask(f"SELECT {database.dialect.text('max(c)')} AS c FROM ({inner}) AS t").to_pylist()[0]["c"]
        return None if found is None else str(found)

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
