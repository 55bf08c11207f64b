"""The database of a source, attached to a DuckDB of its own for as long as it is asked, and read-only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from mlplatform.errors import SourceError
from mlplatform.ingest.database_errors import database_errors
from mlplatform.ingest.dialect import DIALECTS, Dialect
from mlplatform.lake.engine import engine
from mlplatform.spec import SqlSource

__all__ = ["OpenDatabase", "open_database", "place_of"]

# Else a host that does not answer is waited for more than two minutes.
_CONNECT_SECONDS = 10
_EXAMPLES = {
    "postgres": "postgresql://user:password@host:5432/database",
    "mysql": "mysql://user:password@host:3306/database, the special characters of the password percent-encoded",
}


@dataclass(frozen=True)
class OpenDatabase:
    """An attached database and the rows of the source in it."""

    con: duckdb.DuckDBPyConnection
    dialect: Dialect
    relation: str
    """The declared table or query, in the database's SQL."""

    def ask(self, statement: str, select: str = "*") -> pa.Table:
        """What the database answers a statement of its own SQL with, `select`ed from by DuckDB."""
        return self.con.execute(f"SELECT {select} FROM {self.dialect.asked(statement)}").to_arrow_table()

    def schema(self) -> pa.Schema:
        """The source's columns as they arrive, under the database's names."""
        return self.ask(f"SELECT * FROM {self.relation} LIMIT 0").schema

    def clock(self) -> datetime:
        """The present moment by the database's clock, UTC."""
        answer = self.con.execute(f"SELECT CAST(c AS TIMESTAMP) FROM {self.dialect.asked(self.dialect.clock)} AS t(c)")
        moment: datetime = answer.fetchall()[0][0]
        return moment


@contextmanager
def open_database(source: SqlSource) -> Iterator[OpenDatabase]:
    """Attach the source's database.

    Raises:
        SourceError: the variable is not set, the file is not there, or the database refuses; never with a word of the
            connection string.
    """
    dialect, place = DIALECTS[source.database.engine], place_of(source)
    with engine(dialect.extensions) as con, database_errors(source, con, place):
        con.execute("SET TimeZone = 'UTC'")
        for statement in dialect.attach(place):
            con.execute(statement)
        yield OpenDatabase(con, dialect, _relation(source, dialect))


def place_of(source: SqlSource) -> str:
    """The path or the connection string. Raises SourceError when there is none."""
    if source.database.dsn_variable:
        given = _connection_string(source.name, source.database.dsn_variable, source.database.engine)
        return _with_patience(given) if source.database.engine == "postgres" else given
    assert source.database.path is not None, "the declaration has one of the two"
    path = Path(source.database.path).expanduser()
    if not path.is_file():
        raise SourceError(
            f"source `{source.name}`: there is no file {source.database.path} (looked in {Path.cwd()}). Correct "
            "`database.path`."
        )
    return str(path.resolve())


def _connection_string(source: str, variable: str, engine: str) -> str:
    given = os.environ.get(variable, "").strip()
    if not given:
        raise SourceError(
            f"source `{source}`: the environment variable {variable} is not set. Set it, where mlplatform runs, to the "
            f"connection string of the database: {_EXAMPLES[engine]}."
        )
    if engine == "mysql" and not given.startswith("mysql://"):
        raise SourceError(f"source `{source}`: {variable} holds no connection string. Write {_EXAMPLES[engine]}.")
    return given


def _with_patience(dsn: str) -> str:
    if "connect_timeout" in dsn:
        return dsn
    if not dsn.startswith(("postgres://", "postgresql://")):
        return f"{dsn} connect_timeout={_CONNECT_SECONDS}"
    return f"{dsn}{'&' if '?' in dsn else '?'}connect_timeout={_CONNECT_SECONDS}"


def _relation(source: SqlSource, dialect: Dialect) -> str:
    if source.table is not None:
        return ".".join(map(dialect.quoted, source.table.split(".")))
    # On lines of its own: the query may end in a comment.
    return f"(\n{source.query}\n) AS q"
