"""What a person names with `--from`: a file or a table of a database, and how a declaration names the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlplatform.errors import ScaffoldError

__all__ = ["Origin", "parse_origin"]

_CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")
_FILE_DATABASES = {".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb"}
_POSTGRES = ("postgres://", "postgresql://")


@dataclass(frozen=True)
class Origin:
    """Where the rows lie."""

    kind: Literal["csv", "parquet", "postgres", "sqlite", "duckdb"]
    place: str
    """Absolute path of a file, or the environment variable that holds a connection string."""
    table: str | None = None
    secret: str | None = field(default=None, repr=False)
    """A connection string that was typed; it is used now and never written."""

    @property
    def is_file(self) -> bool:
        """CSV or Parquet."""
        return self.kind in ("csv", "parquet")

    def declared(self) -> dict[str, Any]:
        """The fields of a source that say where it lies."""
        if self.is_file:
            return {"kind": "files", "path": self.place, "format": self.kind}
        where = "dsn_variable" if self.kind == "postgres" else "path"
        database = {"engine": self.kind, where: self.place}
        return {"kind": "sql", "database": database, "table": self.table}


def parse_origin(given: str, table: str | None, name: str) -> Origin:
    """What `--from` and `--table` mean for a use case called `name`.

    Raises ScaffoldError that lists what can be read.
    """
    if given.startswith(_POSTGRES):
        return Origin("postgres", f"{name.upper()}_DATABASE", _required(table, "database"), given)
    if given.startswith("env:"):
        return Origin("postgres", given.removeprefix("env:"), _required(table, "database"))
    if "://" in given:
        raise ScaffoldError(
            f"--from {given.split('://')[0]}://...: this cannot be looked at; copy one file of it here and name that. "
            f"Can be read: {_READ}"
        )
    path = Path(given).expanduser()
    if path.is_dir() or not path.exists():
        what = "is a folder: name one file in it" if path.is_dir() else "does not exist"
        raise ScaffoldError(f"--from {given} {what} (looked in {Path.cwd()}). Can be read: {_READ}")
    kind = _kind(path)
    if kind not in ("csv", "parquet"):
        return Origin(kind, str(path.resolve()), _required(table, f"{kind} file"))
    if table is not None:
        raise ScaffoldError(f"--table {table}: {given} is a file of one table; leave --table out")
    return Origin(kind, str(path.resolve()))


def _kind(path: Path) -> Literal["csv", "parquet", "sqlite", "duckdb"]:
    name = path.name.lower()
    if _ends(name, _PARQUET):
        return "parquet"
    if _ends(name, _CSV):
        return "csv"
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
    f"{', '.join((*_CSV, *_PARQUET))}; a Postgres address (postgresql://user:password@host/database, or env:VARIABLE "
    f"that holds it) or a database file ({', '.join(_FILE_DATABASES)}), with --table"
)
