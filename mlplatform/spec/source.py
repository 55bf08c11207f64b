"""Where rows come from. One kind per way of reading; the implementations live in `mlplatform.ingest`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.any_source import AnySource
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.database import Database, Query, TableName
from mlplatform.spec.remote import Access
from mlplatform.spec.rest import RestSource
from mlplatform.spec.stream import StreamSource

__all__ = ["FilesSource", "PythonSource", "Source", "SqlCursor", "SqlSource", "place_of"]


def place_of(path: str) -> Literal["local", "s3", "http"]:
    """Where a path leads."""
    if path.startswith("s3://"):
        return "s3"
    return "http" if path.startswith(("http://", "https://")) else "local"


class PythonSource(AnySource):
    """A `Reader` class, or a function, in a Python file beside defs.yaml (default `source.py`), told `params`."""

    goes_on_if: ClassVar[tuple[str, ...]] = ("function",)

    kind: Literal["python"]
    """Rows come from code."""
    module: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] = "source"
    """The file's name without `.py`."""
    rows_per_commit: PositiveInt | None = None
    """Of a function: parts are stored together until there are so many rows, which is quicker. Left out, each part is
    stored before the next one is asked for, so that what stands behind a `yield` may rely on it."""
    function: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] | None = None
    """A function `(params, cursor)` of the file that yields Arrow tables or pandas frames, or pairs of one and the
    cursor behind it: the text that the next run is told. Left out, the file holds a class `Reader`."""
    params: dict[str, Any] = {}
    """Handed to `Reader` or the function; what they mean is the file's business."""


class FilesSource(AnySource):
    """CSV, JSON lines or Parquet files, read by DuckDB: here, on a web server or in object storage."""

    goes_on_if: ClassVar[tuple[str, ...]] = ("new_files",)

    kind: Literal["files"]
    """Rows come from files."""
    path: str | Annotated[list[str], Field(min_length=1)]
    """A path or glob, or a list of them: of this machine (relative ones start at the working folder), `s3://bucket/key`,
    or `http://` and `https://`, which know no globs. Text may be compressed (`.gz`, `.zst`)."""
    format: Literal["csv", "json", "parquet", "auto"] = "auto"
    """`json` is one object a line. `auto` goes by the ending: `.parquet` and `.pq`; `.jsonl`, `.ndjson` and `.json`;
    else CSV."""
    access: Access | None = None
    """How files on other machines are reached."""
    new_files: bool = False
    """Read each file once, and again when it changed, instead of days or everything."""
    files_per_commit: PositiveInt = 1_000
    """With `new_files`: so many are stored together, and no more than about 64 MiB."""
    columns: dict[str, str] = {}
    """Rename: name in the contract -> name in the file. Columns not named keep their name."""

    @model_validator(mode="after")
    def _all_paths_are_of_one_place(self) -> "FilesSource":
        places = {place_of(path) for path in self.paths}
        if len(places) > 1:
            raise ValueError(f"source `{self.name}` mixes {' and '.join(sorted(places))} paths; make it two sources")
        if self.access is not None and places != {self.access.kind}:
            raise ValueError(
                f"source `{self.name}`: `access` is of kind {self.access.kind}, its path is {places.pop()}"
            )
        return self

    @property
    def paths(self) -> list[str]:
        """Its paths, one or many."""
        return [self.path] if isinstance(self.path, str) else self.path


class SqlCursor(Declared):
    """A column that grows with every new or changed row, such as `updated_at` or a serial number."""

    column: str
    """Its name in the table or query: a time, a number, or a text that sorts."""
    overlap: Annotated[float, Field(ge=0, le=3e9)] = 0
    """How far behind the newest value a run begins again (seconds of a time, else units): rows of transactions that
    were committed late. They are stored once, by key."""
    rows: PositiveInt = 200_000
    """How many rows are committed together, and at most read again after a crash."""


class SqlSource(AnySource):
    """A table, a view or the rows of a query in a database of your own, which is only read."""

    goes_on_if: ClassVar[tuple[str, ...]] = ("cursor",)

    kind: Literal["sql"]
    """Rows come from a database."""
    database: Database
    """Which one."""
    table: TableName | None = None
    """A table or view, `name` or `schema.name`, spelt as the database stores it. Either `table` or `query`."""
    query: Query | None = None
    """One SELECT in the database's own SQL; the days asked for are added to it as a condition, there."""
    columns: dict[str, str] = {}
    """Rename: name in the contract -> name in the table or query. Columns not named keep their name."""
    cursor: SqlCursor | None = None
    """Read on from the newest value of a column, instead of days or everything."""

    @model_validator(mode="after")
    def _table_or_query(self) -> "SqlSource":
        if (self.table is None) == (self.query is None):
            raise ValueError(f"source `{self.name}` needs `table` (all its columns) or `query` (a SELECT), not both")
        return self


Source = Annotated[
    PythonSource | FilesSource | SqlSource | RestSource | StreamSource, Field(discriminator="kind"), ByKind()
]
