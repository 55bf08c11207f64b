"""What differs between the databases that a source may read: how each is attached, asked, and told of a time.

Statements run in the database itself (`postgres_query`, `sqlite_query`), not in DuckDB over attached tables:
conditions, joins and counts then use the database's own indexes, and only the rows asked for travel. Seen at 1.5.5: to
an attached SQLite table DuckDB pushes conditions on the row id alone, to a Postgres table neither `count` nor `max`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from mlplatform.contracts.casting import quote, timestamp_sql
from mlplatform.lake.extensions import MYSQL, POSTGRES, SQLITE

__all__ = ["ATTACHED", "DIALECTS", "Dialect", "text_sql"]

ATTACHED = "source"
"""What the database is called inside of DuckDB."""


def text_sql(value: str) -> str:
    """A text as an SQL literal."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


@dataclass(frozen=True)
class Dialect:
    """DuckDB's own, for the file of a DuckDB database; the other two differ where they say so."""

    title: str = "DuckDB"
    extensions: tuple[str, ...] = ()
    clock: str = "SELECT CAST(now() AS TIMESTAMP)"
    """The database's present moment, UTC."""
    tables: str = (
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = current_database() AND NOT internal"
    )
    """Schema and name of every table and view."""
    as_time: str = "to_timestamp(...)"
    """How a number of seconds since 1970 becomes a time: for messages."""

    def attach(self, place: str) -> list[str]:
        """Statements that attach the database at a path or connection string, read-only."""
        return [f"ATTACH {text_sql(place)} AS {ATTACHED} (TYPE duckdb, READ_ONLY)", f"USE {ATTACHED}"]

    def asked(self, statement: str) -> str:
        """A relation in DuckDB: the rows that the database answers a statement of its own SQL with."""
        return f"({statement})"

    def quoted(self, name: str) -> str:
        """A column or table in the database's SQL."""
        return quote(name)

    def text(self, value: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002 - MySQL needs the type
        """SQL: a value as text that `literal` takes back, to the last digit."""
        return f"CAST({value} AS VARCHAR)"

    def literal(self, value: str, arrives_as: pa.DataType) -> str:
        """SQL: what `text` gave, as it compares with a column of this type."""
        if pa.types.is_floating(arrives_as):
            # A bare 0.1 is a decimal, which is not the float that is written so.
            return f"CAST({text_sql(value)} AS {'FLOAT' if pa.types.is_float32(arrives_as) else 'DOUBLE'})"
        return value if _is_numeric(arrives_as) else text_sql(value)

    def values(self, columns: pa.Schema) -> str:
        """The select list, in the database, of columns (as they arrive if nothing is done) without a loss."""
        return ", ".join(map(quote, columns.names))

    def is_time(self, arrives_as: pa.DataType) -> bool:
        """Whether a column of this type can be the time of a row."""
        return _is_timestamp(arrives_as) or pa.types.is_string(arrives_as)

    def moment(self, column: str, arrives_as: pa.DataType) -> str:
        """SQL that can be compared with `bound`: when a row happened, NULL where that cannot be read."""
        return timestamp_sql(quote(column), arrives_as)

    def order(self, column: str, arrives_as: pa.DataType) -> str:
        """SQL in the order of `moment`, good to a day, that an index can answer."""
        return self.moment(column, arrives_as)

    def bound(self, at: datetime, arrives_as: pa.DataType) -> str:  # noqa: ARG002 - Postgres needs the type
        """A UTC time as a literal."""
        return f"TIMESTAMP '{at}'"

    def within(self, column: str, arrives_as: pa.DataType, start: datetime, end: datetime) -> str:
        """Condition: start <= time < end."""
        moment = self.moment(column, arrives_as)
        return f"({moment} >= {self.bound(start, arrives_as)} AND {moment} < {self.bound(end, arrives_as)})"

    def outside(self, column: str, arrives_as: pa.DataType, start: datetime, end: datetime) -> str:
        """Condition: the time cannot be read, or lies outside of [start, end)."""
        moment = self.moment(column, arrives_as)
        first, last = self.bound(start, arrives_as), self.bound(end, arrives_as)
        return f"({moment} IS NULL OR {moment} < {first} OR {moment} >= {last})"


@dataclass(frozen=True)
class _Postgres(Dialect):
    """A time is compared as it is stored, so that an index on it is used."""

    title: str = "Postgres"
    extensions: tuple[str, ...] = (POSTGRES,)
    clock: str = "SELECT now() AT TIME ZONE 'UTC' AS clock"
    tables: str = (
        "SELECT nspname::text AS schema_name, relname::text AS table_name FROM pg_catalog.pg_class "
        "JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'v', 'm', 'f', 'p') "
        "AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    )

    def attach(self, place: str) -> list[str]:
        return [f"ATTACH {text_sql(place)} AS {ATTACHED} (TYPE postgres, READ_ONLY)"]

    def asked(self, statement: str) -> str:
        return f"postgres_query('{ATTACHED}', {text_sql(statement)})"

    def text(self, value: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        return f"({value})::text"

    def literal(self, value: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        # A text without a type becomes that of the column; a bare 0.1 would be a numeric, which no `real` equals.
        return text_sql(value)

    def values(self, columns: pa.Schema) -> str:
        # A numeric that is NaN or infinite would arrive as 0 (at 1.5.5), one of undeclared digits as a float: which
        # floats are numerics cannot be seen.
        return ", ".join(_exact_number(quote(c.name)) if _may_be_numeric(c.type) else quote(c.name) for c in columns)

    def is_time(self, arrives_as: pa.DataType) -> bool:
        return _is_timestamp(arrives_as)

    def moment(self, column: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        return quote(column)

    def bound(self, at: datetime, arrives_as: pa.DataType) -> str:
        zoned = pa.types.is_timestamp(arrives_as) and arrives_as.tz is not None
        return f"TIMESTAMPTZ '{at}+00'" if zoned else f"TIMESTAMP '{at}'"


@dataclass(frozen=True)
class _SQLite(Dialect):
    """Any column may hold any value, so all come as text, and the contract names what is not of its type."""

    title: str = "SQLite"
    extensions: tuple[str, ...] = (SQLITE,)
    clock: str = "SELECT datetime('now') AS clock"
    tables: str = "SELECT 'main' AS schema_name, name AS table_name FROM sqlite_master WHERE type IN ('table', 'view')"
    as_time: str = "datetime(..., 'unixepoch')"

    def attach(self, place: str) -> list[str]:
        # A writer of a moment is waited for.
        return [f"ATTACH {text_sql(place)} AS {ATTACHED} (TYPE sqlite, READ_ONLY, BUSY_TIMEOUT 5000)"]

    def asked(self, statement: str) -> str:
        return f"sqlite_query('{ATTACHED}', {text_sql(statement)})"

    def text(self, value: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        # `quote` writes numbers bare and texts as literals: any column may hold values of any type.
        return f"CASE WHEN {value} IS NOT NULL THEN quote({value}) END"

    def literal(self, value: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        return value if value.startswith(chr(39)) or _is_number(value) else text_sql(value)

    def values(self, columns: pa.Schema) -> str:
        return ", ".join(f"{_exact_text(quote(name))} AS {quote(name)}" for name in columns.names)

    def moment(self, column: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        # SQLite would read a number as a Julian day, '12:00' as a time of the year 2000. LIKE would take twice as long.
        own = quote(column)
        return f"CASE WHEN {own} GLOB '????-??-??*' THEN datetime({own}) END"

    def order(self, column: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        return quote(column)

    def bound(self, at: datetime, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        return text_sql(at.isoformat(" ", "seconds"))

    def within(self, column: str, arrives_as: pa.DataType, start: datetime, end: datetime) -> str:
        # An index holds the texts as written, with offsets and either `T` or a space: wide bounds, then the exact ones.
        day = timedelta(days=1)
        first, behind = (start - day).date(), (end + 2 * day).date()
        wide = f"{quote(column)} >= '{first}' AND {quote(column)} < '{behind}'"
        return f"({wide} AND {super().within(column, arrives_as, start, end)})"


@dataclass(frozen=True)
class _MySQL(Dialect):
    """MySQL or MariaDB. A time is compared as it is stored, so that an index on it is used."""

    title: str = "MySQL"
    extensions: tuple[str, ...] = (MYSQL,)
    clock: str = "SELECT utc_timestamp() AS clock"
    tables: str = (
        "SELECT table_schema AS schema_name, table_name AS table_name FROM information_schema.tables "
        "WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
    )
    as_time: str = "from_unixtime(...)"

    def attach(self, place: str) -> list[str]:
        # A `timestamp` is told in the session's time zone; a query over 5 minutes is no reason to give up here.
        return [
            "SET mysql_session_time_zone = '+00:00'",
            "SET mysql_query_timeout_enabled = false",
            f"ATTACH {text_sql(place)} AS {ATTACHED} (TYPE mysql, READ_ONLY)",
        ]

    def asked(self, statement: str) -> str:
        return f"mysql_query('{ATTACHED}', {text_sql(statement)})"

    def quoted(self, name: str) -> str:
        escaped = name.replace("`", "``")
        return f"`{escaped}`"

    def text(self, value: str, arrives_as: pa.DataType) -> str:
        # A FLOAT is written with six digits.
        return f"CAST({value}{' + 0e0' if pa.types.is_float32(arrives_as) else ''} AS CHAR)"

    def literal(self, value: str, arrives_as: pa.DataType) -> str:
        return value if _is_numeric(arrives_as) else text_sql(value)

    def values(self, columns: pa.Schema) -> str:
        return ", ".join(
            self._readable(self.quoted(c.name)) if pa.types.is_binary(c.type) else self.quoted(c.name) for c in columns
        )

    def _readable(self, column: str) -> str:
        """JSON and texts of a binary collation arrive as bytes; bytes that are no text come as hexadecimal digits."""
        return (
            f"CASE WHEN CHARSET({column}) = 'binary' THEN HEX({column}) ELSE CONVERT({column} USING utf8mb4) END "
            f"AS {column}"
        )

    def is_time(self, arrives_as: pa.DataType) -> bool:
        return _is_timestamp(arrives_as)

    def moment(self, column: str, arrives_as: pa.DataType) -> str:  # noqa: ARG002
        return self.quoted(column)


DIALECTS: dict[str, Dialect] = {"postgres": _Postgres(), "mysql": _MySQL(), "sqlite": _SQLite(), "duckdb": Dialect()}


def _is_timestamp(arrives_as: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(arrives_as) or pa.types.is_date(arrives_as))


def _is_numeric(arrives_as: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(is_one(arrives_as) for is_one in kinds)


def _may_be_numeric(arrives_as: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(arrives_as) or pa.types.is_float64(arrives_as))


def _exact_number(column: str) -> str:
    """Postgres' text of a number has all its digits; NaN is no value, as it is in a file."""
    return f"NULLIF({column}, 'NaN')::text AS {column}"


def _exact_text(column: str) -> str:
    """SQLite's own text of a number keeps 15 digits, of which 0.1 + 0.2 needs 17; bytes may be no text at all."""
    return (
        f"CASE typeof({column}) WHEN 'real' THEN printf('%!.17g', {column}) WHEN 'blob' THEN hex({column}) "
        f"ELSE CAST({column} AS TEXT) END"
    )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
