"""Where rows come from. One kind per way of reading; the implementations live in `mlplatform.ingest`."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.database import Database, Query, TableName
from mlplatform.spec.watchdog import Freshness

__all__ = ["FilesSource", "PythonSource", "RowId", "Source", "SqlSource"]


class RowId(Declared):
    """A number for each row of a table that has no key: of its content, so that it is the same in every read.

    48 bits of the MD5 of the row's values, so that JSON and float64 hold it; equal rows are numbered on.
    """

    column: ColumnName = "row_key"
    """What the column is called; name it in `key`. DuckLake keeps the name `row_id` for itself."""
    without: list[ColumnName] = []
    """Columns that do not count, such as the label: a row whose label becomes known later stays the same row."""


class _AnySource(Declared):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Lower-case name; the rows land in the table `raw_<use case>.<name>`."""
    key: Annotated[list[ColumnName], Field(min_length=1)]
    """Columns that identify a row: a row that comes twice is stored once."""
    row_id: RowId | None = None
    """A column to add to rows that nothing identifies; left out, the source has its key."""
    missing_values: dict[ColumnName, list[str]] = {}
    """Texts that stand for a missing value, by column, such as `{age: [NA, "?"]}`; an empty text always does."""
    time_column: ColumnName | None = "event_time"
    """When the row happened (a timestamp without zone, UTC); `null` for a table that is simply there, such as people:
    it is read whole in every run."""
    partition: Literal["day", "month", "none"] = "day"
    """One partition a day or a month; `none`: one asset that reads all the source has in every run, and replaces stored
    rows by key; a row that is gone from the source stays in the lake. All partitioned
    sources of a use case have the same `partition`, `start` and `end`: a run goes over one range of them."""
    start: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """First day to ingest; partitions begin here (those of months with its month). May be left out where there are
    none."""
    end: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """Last day to ingest; left out, the source goes on for ever."""
    max_days_per_run: PositiveInt = 7
    """How many new days the new-data sensor ingests in one run; of partitions of months, all months that hold them."""
    look_back_days: PositiveInt = 30
    """When the source's content changed: how many days are read again, for late rows and labels that became known."""
    freshness: Freshness | None = None
    """When the watchdog calls it stale; left out, it does not look."""

    @model_validator(mode="before")
    @classmethod
    def _no_time_no_partitions(cls, given: Any) -> Any:
        """A table without a time needs not say that it has no partitions either."""
        timeless = isinstance(given, dict) and "time_column" in given and given["time_column"] is None
        return {"partition": "none", **given} if timeless else given

    @model_validator(mode="after")
    def _partitions_have_a_time_and_a_start(self) -> "_AnySource":
        if self.time_column is None and (self.partition != "none" or self.start or self.end):
            raise ValueError(
                f"source `{self.name}` has no time (time_column: null), so it has no `partition` but none, no `start` "
                "and no `end`; leave them out, or name its time_column"
            )
        if self.partition != "none" and self.start is None:
            raise ValueError(
                f"source `{self.name}` needs `start`, its first day (YYYY-MM-DD); or `partition: none` to read all it "
                "has in every run; or `time_column: null` if its rows have no time"
            )
        return self


class PythonSource(_AnySource):
    """A `Reader` class in a Python file beside defs.yaml (default `source.py`), built from `params`."""

    kind: Literal["python"]
    """Rows come from code."""
    module: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] = "source"
    """The file's name without `.py`."""
    params: dict[str, Any] = {}
    """Handed to `Reader`; what they mean is the file's business."""


class FilesSource(_AnySource):
    """CSV or Parquet files, read by DuckDB."""

    kind: Literal["files"]
    """Rows come from files."""
    path: str
    """A path or glob; relative paths start at the working folder."""
    format: Literal["csv", "parquet", "auto"] = "auto"
    """`auto` goes by the ending of the path."""
    columns: dict[str, str] = {}
    """Rename: name in the contract -> name in the file. Columns not named keep their name."""


class SqlSource(_AnySource):
    """A table, a view or the rows of a query in a database of your own, which is only read."""

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

    @model_validator(mode="after")
    def _table_or_query(self) -> "SqlSource":
        if (self.table is None) == (self.query is None):
            raise ValueError(f"source `{self.name}` needs `table` (all its columns) or `query` (a SELECT), not both")
        return self


Source = Annotated[PythonSource | FilesSource | SqlSource, Field(discriminator="kind"), ByKind()]
