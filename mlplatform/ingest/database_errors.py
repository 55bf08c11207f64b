"""A database's errors in words of the declaration: which source, what was wrong, what to do.

Nothing of a connection string is ever repeated: libpq quotes what it cannot read, and after a stray `@` or `/` in a
password what it takes for the host or the database is a part of the password. So how a connection failed is told in own
words.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.dialect import DIALECTS
from mlplatform.spec import SqlSource

__all__ = ["database_errors"]

_TABLES_SHOWN = 20


@contextmanager
def database_errors(source: SqlSource, con: duckdb.DuckDBPyConnection, place: str) -> Iterator[None]:
    """Says an error of the database at `place` (attached to `con`) as a SourceError."""
    try:
        yield
    except (duckdb.Error, UnicodeDecodeError) as error:
        problem = _explain(source, con, str(error).replace(place, "..."))
        # The cause would be shown with it, and that quotes the connection string.
        raise SourceError(f"source `{source.name}`, {_where(source)}: {problem}") from None


def _where(source: SqlSource) -> str:
    database = source.database
    place = f"of ${database.dsn_variable}" if database.dsn_variable else f"file {database.path}"
    return f"{DIALECTS[database.engine].title} {place}"


def _explain(source: SqlSource, con: duckdb.DuckDBPyConnection, message: str) -> str:
    connecting = re.search(r"[Uu]nable to connect to Postgres|Failed to connect to MySQL|Invalid URI string", message)
    for pattern, what in _CONNECTING if connecting else _READING:
        if told := re.search(pattern, message):
            table = source.table or "`query`"
            return what.format(variable=source.database.dsn_variable, table=table, found=told[told.lastindex or 0])
    if connecting:
        client = {"postgres": "psql", "mysql": "mariadb or mysql"}[source.database.engine]
        return f"the connection failed; {client}, told what ${source.database.dsn_variable} holds, says why."
    if source.table and re.search(r"does not exist|[Nn]o such table|Table .* doesn't exist", message):
        return f"there is no table {source.table}.{_nearest(source, con)} Correct `table`."
    return f"{_detail(message)} Correct {'`table`' if source.table else '`query`'} of the source, or the database."


def _detail(message: str) -> str:
    """The database's own sentence, without the statement that DuckDB and this platform wrapped around it."""
    told = re.search(r"ERROR:\s+(.+)", message) or re.search(
        r'^(?:IO Error: )?Failed to \w+ (?:MySQL )?query ".*": (.+)', message, re.DOTALL
    )
    sentence = (told[1] if told else message).strip().splitlines()[0].rstrip(".!")
    hint = re.search(r"HINT:\s+(.+)", message)
    return f"{sentence}. {hint[1].strip()}" if hint else f"{sentence}."


def _nearest(source: SqlSource, con: duckdb.DuckDBPyConnection) -> str:
    """Tables of like names, in whatever schema; where there is none, what tables there are."""
    dialect = DIALECTS[source.database.engine]
    there: list[tuple[str, str]] = []
    with suppress(duckdb.Error):  # no answer: then without a hint
        there = con.execute(f"SELECT * FROM {dialect.asked(dialect.tables)}").fetchall()
    if not there:
        return " The database has no table that this user may see."
    names = {written: f"{schema}.{table}" for schema, table in there for written in (f"{schema}.{table}", table)}
    lower = {written.lower(): full for written, full in names.items()}
    wanted = (source.table or "").lower()
    close = [*get_close_matches(wanted, lower, n=3), *get_close_matches(wanted.rpartition(".")[2], lower, n=3)]
    if close:
        return f" Did you mean {' or '.join(dict.fromkeys(f'`{lower[name]}`' for name in close))}?"
    full = sorted(set(names.values()))
    return f" There are {', '.join(full[:_TABLES_SHOWN])}{' and others' if len(full) > _TABLES_SHOWN else ''}."


_CONNECTING = (
    (
        r"authentication|no password supplied|Access denied|role \".*\" does not exist",
        "the server refuses this user or password. Correct them in {variable}.",
    ),
    (
        r"database \".*\" does not exist|Unknown database",
        "the server has no such database. Correct its name in {variable}.",
    ),
    (
        r"could not translate host name|Unknown (MySQL )?server host",
        "its host is not known. Correct the host in {variable}.",
    ),
    (
        r"refused|Can't connect|timeout expired|timed out|unreachable|No route|No such file or directory",
        "no server answers at this host and port. Start it, or correct {variable}.",
    ),
    (r"pg_hba\.conf", "the server does not let this user in from here; its pg_hba.conf says who may."),
    (
        r"[Tt]oo many (clients|connections)|remaining connection slots",
        "the server has no connection left. Try again later.",
    ),
    (r"starting up|shutting down|in recovery", "the server is starting or stopping. Try again in a moment."),
    (r"SSL|certificate", "no encrypted connection came about. Correct `sslmode` and its files in {variable}."),
    (
        r"Invalid URI string",
        "{variable} holds no connection string. Write mysql://user:password@host:3306/database, the special characters "
        "of the password percent-encoded (`@` is %40, `/` is %2F).",
    ),
    (
        r"percent-encoded|missing \"=\"|invalid|unterminated|forbidden value",
        "{variable} holds no connection string. Write postgresql://user:password@host:5432/database, the special "
        "characters of the password percent-encoded (`@` is %40), or host=... dbname=... user=... password=...",
    ),
)

_READING = (
    (
        r"has duplicate column name \"(.+)\"",
        "more than one column of {table} is called `{found}`: upper and lower case do not tell names apart here. "
        "Rename all but one, or read a view that does.",
    ),
    (
        r"permission denied|command denied",
        "this user may not read {table}. Let the database's owner run `GRANT SELECT`.",
    ),
    (
        r"closed the connection|Lost connection|server has gone away|"
        r"could not receive data|terminating connection|connection (not open|to server)",
        "the connection broke while rows were read. Nothing of this batch was loaded; run it again.",
    ),
    (
        r"file is not a database|not a valid DuckDB database file",
        "the file is no database of this kind. Correct `engine` or `path` of `database`.",
    ),
    (
        r"Could not set lock on file",
        "another process has the file open for writing, and DuckDB lets nobody else read meanwhile. Close it there, or "
        "read a copy.",
    ),
    (r"database is locked", "another process has been writing for more than 5 seconds. Try again later."),
    (
        r"codec can't decode|[Ii]nvalid (unicode|UTF-?8)",
        "a text in it is not UTF-8. Correct it, or leave its column out.",
    ),
    (
        r"only be read-only|Failed to fetch return types|WITH clause containing a data-modifying|read-?only",
        "a source is only read. Write a SELECT.",
    ),
)
