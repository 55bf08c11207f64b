"""Where rows come from. One kind per way of reading; the implementations live in `mlplatform.ingest`."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind

__all__ = ["FilesSource", "PythonSource", "Source"]


class _AnySource(Declared):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Lower-case name; the rows land in the table `raw_<use case>.<name>`."""
    key: Annotated[list[ColumnName], Field(min_length=1)]
    """Columns that identify a row: a row that comes twice is stored once."""
    time_column: ColumnName = "event_time"
    """When the row happened (a timestamp without zone, UTC)."""
    start: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """First day to ingest; the daily partitions begin here."""
    end: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """Last day to ingest; left out, the source goes on for ever."""
    max_days_per_run: PositiveInt = 7
    """How many new days the new-data sensor ingests in one run."""
    look_back_days: PositiveInt = 30
    """When the source's content changed: how many days are read again, for late rows and labels that became known."""


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


Source = Annotated[PythonSource | FilesSource, Field(discriminator="kind"), ByKind()]
