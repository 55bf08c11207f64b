"""The column of a database that says when a row happened: conditions on it, and what it holds."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from mlplatform.errors import SourceError
from mlplatform.ingest.database import OpenDatabase

__all__ = ["TimeColumn"]


@dataclass(frozen=True)
class TimeColumn:
    """One column of an open database, by the name and type that it has there. All times are UTC."""

    database: OpenDatabase
    source: str
    """The source's name, for messages."""
    name: str
    arrives_as: pa.DataType

    def __post_init__(self) -> None:
        if not self.database.dialect.is_time(self.arrives_as):
            raise SourceError(
                f"source `{self.source}`: the column `{self.name}` is no time but {self.arrives_as}. Make it one in a "
                f"`query`, such as {self._made(text=pa.types.is_string(self.arrives_as))}."
            )

    def within(self, start: datetime, end: datetime) -> str:
        """Condition, in the database's SQL: start <= time < end."""
        return self.database.dialect.within(self.name, self.arrives_as, start, end)

    def outside(self, start: datetime, end: datetime) -> str:
        """Condition: the time cannot be read, or is not in [start, end)."""
        return self.database.dialect.outside(self.name, self.arrives_as, start, end)

    def days(self, start: datetime, end: datetime) -> tuple[date, date] | None:
        """First day with a row in [start, end), and the day behind the last; None where there is no row at all.

        Raises SourceError where there are rows, none of them with a time in [start, end).
        """
        moment = self.database.dialect.moment(self.name, self.arrives_as)
        as_days = "CAST(CAST(first AS TIMESTAMP) AS DATE) AS first, CAST(CAST(last AS TIMESTAMP) AS DATE) AS last"
        extremes = self._extremes(moment, self.within(start, end))
        found = self.database.ask(extremes, as_days).to_pylist()[0]
        if found["first"] is None:
            self._require_no_row(end)
            return None
        return found["first"], found["last"] + timedelta(days=1)

    def rough_days(self, start: datetime, end: datetime) -> tuple[str | None, str | None]:
        """First and last day of the rows in [start, end), YYYY-MM-DD, as an index tells them: for a fingerprint."""
        order = self.database.dialect.order(self.name, self.arrives_as)
        found = self.database.ask(self._extremes(order, self._between(start, end))).to_pylist()[0]
        return _day(found["first"]), _day(found["last"])

    def counted(self, start: datetime, end: datetime) -> tuple[int, str]:
        """How many rows there are in [start, end), as an index tells it, and the newest time of one."""
        order = self.database.dialect.order(self.name, self.arrives_as)
        counted = f"SELECT count(*) AS n, max({order}) AS newest FROM {self.database.relation}"
        found = self.database.ask(f"{counted} WHERE {self._between(start, end)}").to_pylist()[0]
        return int(found["n"]), str(found["newest"])

    def _extremes(self, ordered: str, condition: str) -> str:
        return f"SELECT min({ordered}) AS first, max({ordered}) AS last FROM {self.database.relation} WHERE {condition}"

    def _between(self, start: datetime, end: datetime) -> str:
        dialect = self.database.dialect
        order = dialect.order(self.name, self.arrives_as)
        return f"{order} >= {dialect.bound(start, self.arrives_as)} AND {order} < {dialect.bound(end, self.arrives_as)}"

    def _require_no_row(self, end: datetime) -> None:
        values = self.database.dialect.values(pa.schema([(self.name, self.arrives_as)]))
        example = self.database.ask(f"SELECT {values} FROM {self.database.relation} LIMIT 1")
        if len(example):
            raise SourceError(
                f"source `{self.source}`: no value of `{self.name}` is a usable time, e.g. '{example[0][0]}'. Times "
                f"are written YYYY-MM-DD hh:mm:ss (UTC, or with an offset), none later than {end:%Y-%m-%d} (the "
                f"database's clock, and a day); a number becomes one in a `query`, such as {self._made(text=False)}."
            )

    def _made(self, *, text: bool) -> str:
        own = self.database.dialect.quoted(self.name)
        made = f"CAST({own} AS timestamp)" if text else self.database.dialect.as_time
        return f"{made.replace('...', own)} AS event_time"


def _day(value: object) -> str | None:
    return None if value is None else str(value)[:10]
