"""What a person names with `--from`: a file or a table of a database, and how a declaration names the same."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from mlplatform.errors import ScaffoldError
from mlplatform.spec.source import place_of

__all__ = ["Origin", "parse_origin"]

_CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")
_FILE_DATABASES = {".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb"}
_REMOTE = ("s3://", "http://", "https://")
_POSTGRES = ("postgres://", "postgresql://")


@dataclass(frozen=True)
class Origin:
    """Where the rows lie."""

    kind: Literal["csv", "parquet", "postgres", "sqlite", "duckdb"]
    place: str
    """Absolute path or address of a file, or the environment variable that holds a connection string."""
    table: str | None = None
    access: dict[str, str] | None = None
    """How a file on another machine is reached: names of variables, never what they hold."""
    secret: str | None = field(default=None, repr=False)
    """A connection string that was typed; it is used now and never written."""

    @property
    def is_file(self) -> bool:
        """CSV or Parquet."""
        return self.kind in ("csv", "parquet")

    @property
    def is_remote(self) -> bool:
        """A file of a web server or a bucket."""
        return self.is_file and place_of(self.place) != "local"

    def declared(self) -> dict[str, Any]:
        """The fields of a source that say where it lies."""
        if self.is_file:
            access = {"access": self.access} if self.access else {}
            # A name of one file, where a declaration may hold a pattern for many.
            path = self.place if self.is_remote else glob.escape(self.place)
            return {"kind": "files", "path": path, "format": self.kind, **access}
        where = "dsn_variable" if self.kind == "postgres" else "path"
        database = {"engine": self.kind, where: self.place}
        return {"kind": "sql", "database": database, "table": self.table}


def parse_origin(given: str, table: str | None, name: str) -> Origin:
    """What `--from` and `--table` mean for a use case called `name`.

    Raises ScaffoldError that lists what can be read.
    """
    if given.startswith(_POSTGRES):
        return Origin("postgres", f"{name.upper()}_DATABASE", _required(table, "database"), secret=given)
    if given.startswith("env:"):
        return Origin("postgres", given.removeprefix("env:"), _required(table, "database"))
    if given.startswith(_REMOTE):
        # First what may stand in a message: an address with a password in it is refused without it.
        found = remote_origin(given, name)
        if table is not None:
            raise ScaffoldError(f"--table {table}: {given} is a file of one table; leave --table out")
        return found
    if "://" in given:
        raise ScaffoldError(
            f"--from {given.split('://')[0]}://...: this cannot be looked at; copy one file of it here and name "
            f"that. Can be read: {_READ}"
        )
    path = _local(given)
    if path.is_dir() or not path.exists():
        what = "is a folder: name one file in it" if path.is_dir() else "does not exist"
        raise ScaffoldError(f"--from {given} {what} (looked in {Path.cwd()}). Can be read: {_READ}")
    kind = _kind(path)
    if kind not in ("csv", "parquet"):
        return Origin(kind, str(path.resolve()), _required(table, f"{kind} file"))
    if table is not None:
        raise ScaffoldError(f"--table {table}: {given} is a file of one table; leave --table out")
    return Origin(kind, str(path.resolve()))


def _local(given: str) -> Path:
    """The path of a file here; `~` is the home, unless something is called so."""
    if Path(given).exists():
        return Path(given)
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise ScaffoldError(f"--from {given}: {given.split('/')[0]} is nobody's home. Write the path out") from error


def remote_origin(given: str, name: str) -> Origin:
    """A file of a bucket or a web server; what opens it stands in the environment.

    Raises ScaffoldError for an address that holds a secret: it would be written to defs.yaml.
    """
    address = urlsplit(given)
    bare = f"{address.scheme}://{address.hostname or ''}{address.path}"
    if address.password or address.username or _SECRET.search(address.query):
        raise ScaffoldError(
            f"--from {bare}: the address holds a secret, which would be written to defs.yaml. Leave it out, and put a "
            f"token into the variable {_token(name)}: it is sent as `Authorization: Bearer`"
        )
    kind = _table_kind(PurePosixPath(address.path).name.lower())
    if kind is None:
        raise ScaffoldError(f"--from {bare}: its name does not say what it is. Can be read: {_READ}")
    return Origin(kind, given, access=_bucket_access() if address.scheme == "s3" else _web_access(name))


def _bucket_access() -> dict[str, str] | None:
    """By the variables that the tools of Amazon use, as far as they are set."""
    found: dict[str, str | None] = {
        field: next(filter(os.environ.get, names), None) for field, names in _OF_BUCKETS.items()
    }
    access = {field: os.environ[name].rstrip("/") for field in ("endpoint", "region") if (name := found[field])}
    access |= {field: name for field in _SECRETS if (name := found[field])}
    # It is written into the declaration, so nothing secret may be in it.
    if not re.fullmatch(r"https?://[^/@]+", access.get("endpoint", "https://amazon")):
        raise ScaffoldError(f"{found['endpoint']} must be http(s)://host, without a path, a user or a password")
    if ("key_variable" in access) != ("secret_variable" in access):
        raise ScaffoldError(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: set both, or neither for a public bucket"
        )
    return {"kind": "s3", **access} if access else None


_SECRETS = ("key_variable", "secret_variable", "session_variable")
_OF_BUCKETS = {
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "key_variable": ("AWS_ACCESS_KEY_ID",),
    "secret_variable": ("AWS_SECRET_ACCESS_KEY",),
    "session_variable": ("AWS_SESSION_TOKEN",),
}
_SECRET = re.compile(r"(^|&)[^=]*(sig|token|key|secret|password|credential)[^=]*=", re.I)


def _web_access(name: str) -> dict[str, str] | None:
    return {"kind": "http", "token_variable": _token(name)} if os.environ.get(_token(name)) else None


def _token(name: str) -> str:
    return f"{name.upper()}_TOKEN"


def _table_kind(name: str) -> Literal["csv", "parquet"] | None:
    if _ends(name, _PARQUET):
        return "parquet"
    return "csv" if _ends(name, _CSV) else None


def _kind(path: Path) -> Literal["csv", "parquet", "sqlite", "duckdb"]:
    if (table := _table_kind(path.name.lower())) is not None:
        return table
    if (database := _FILE_DATABASES.get(path.suffix.lower())) is not None:
        return "duckdb" if database == "duckdb" else "sqlite"
    raise ScaffoldError(f"--from {path}: its name does not say what it is. Can be read: {_READ}")


def _ends(name: str, endings: Sequence[str]) -> bool:
    return name.endswith(tuple(endings))


def _required(table: str | None, what: str) -> str:
    if table is None:
        raise ScaffoldError(f"a {what} has many tables: say which one with --table, as `name` or `schema.name`")
    return table


_READ = (
    f"{', '.join((*_CSV, *_PARQUET))}, here or at s3://, https:// or http://; a Postgres address "
    "(postgresql://user:password@host/database, or env:VARIABLE that holds it) or a database file "
    f"({', '.join(_FILE_DATABASES)}), with --table"
)
