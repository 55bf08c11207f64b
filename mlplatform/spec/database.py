"""Which database a source of kind `sql` reads, and the one statement that it may run there."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.variable import variable

__all__ = ["Database", "Query", "TableName"]

_LITERAL_OR_COMMENT = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)


def _table(name: str) -> str:
    parts = name.split(".")
    if len(parts) > 2 or not all(part.strip() for part in parts):
        raise ValueError("must be a table or view, as `name` or `schema.name`; write anything else as a `query`")
    return name


def _select(query: str) -> str:
    """The query without what stands behind it. The database's own read-only mode guards it; this explains it early."""
    query = query.strip().rstrip(";").rstrip()
    plain = _LITERAL_OR_COMMENT.sub(" ", query)
    first = (plain.replace("(", " ").split() or ["nothing"])[0]
    if first.upper() not in {"SELECT", "WITH"}:
        raise ValueError(f"must be a SELECT (or WITH ... SELECT) and begins with {first!r}; a source is only read")
    if ";" in plain:
        raise ValueError("must be one SELECT; there is a `;` in the middle of it")
    return query


TableName = Annotated[str, AfterValidator(_table)]
Query = Annotated[str, AfterValidator(_select)]


class Database(Declared):
    """A database that is only read. What is secret of it stands in an environment variable, never in defs.yaml."""

    engine: Literal["postgres", "mysql", "sqlite", "duckdb"]
    """A Postgres server, a MySQL or MariaDB server (`mysql`), or the file of a SQLite or a DuckDB database."""
    path: str | None = None
    """The file of a SQLite or DuckDB database; relative paths start at the working folder."""
    dsn_variable: Annotated[str, AfterValidator(variable)] | None = None
    """Servers: the environment variable that holds the connection string, `postgresql://user:password@host/database`,
    `host=... dbname=... user=... password=...` or `mysql://user:password@host:3306/database`."""

    @model_validator(mode="after")
    def _is_found_by_what_its_engine_has(self) -> "Database":
        server = self.engine in {"postgres", "mysql"}
        if server and (self.path is not None or self.dsn_variable is None):
            raise ValueError(
                f"a {self.engine} database has no `path`, but `dsn_variable`: the name of the environment variable "
                "that holds its connection string"
            )
        if not server and (self.path is None or self.dsn_variable is not None):
            raise ValueError(f"a {self.engine} database is a file: name it with `path`, and leave out `dsn_variable`")
        return self
