"""Where rows come from. One kind per way of reading; the implementations live in `mlplatform.ingest`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.any_source import AnySource
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.database import Database, Query, TableName

__all__ = ["FilesSource", "PythonSource", "Source", "SqlCursor", "SqlSource"]


class PythonSource(AnySource):
    """A `Reader` class, or a function, in a Python file beside defs.yaml (default `source.py`), told `params`."""

    goes_on_if: ClassVar[tuple[str, ...]] = ("function",)

    kind: Literal["python"]
    """Rows come from code."""
    module: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] = "source"
    """The file's name without `.py`."""
    function: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] | None = None
    """A function `(params, cursor)` of the file that yields Arrow tables or pandas frames, or pairs of one and the
    cursor behind it: the text that the next run is told. Left out, the file holds a class `Reader`."""
    params: dict[str, Any] = {}
    """Handed to `Reader` or the function; what they mean is the file's business."""


class FilesSource(AnySource):
    """CSV or Parquet files, read by DuckDB."""

    kind: Literal["files"]
    """Rows come from files."""
    path: str
    """A path or glob; relative paths start at the working folder."""
    format: Literal["csv", "parquet", "auto"] = "auto"
    """`auto` goes by the ending of the path."""
    columns: dict[str, str] = {}
    """Rename: name in the contract -> name in the file. Columns not named keep their name."""


class SqlCursor(Declared):
    """A column that grows with every new or changed row, such as `updated_at` or a serial number."""

    column: str
    """Its name in the table or query: a time, a number, or a text that sorts."""
    overlap: NonNegativeFloat = 0
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


Source = Annotated[PythonSource | FilesSource | SqlSource, Field(discriminator="kind"), ByKind()]
