"""What a declaration says of a source whatever its kind: its key, its time, its partitions, its changes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.row_id import RowId
from mlplatform.spec.span import WholeDays
from mlplatform.spec.watchdog import Freshness

__all__ = ["AnySource"]


class AnySource(Declared):
    """The fields that all kinds share."""

    goes_on_if: ClassVar[tuple[str, ...]] = ()
    """Fields of the kind that, once set, make a run go on where the one before it stopped."""
    absent_is_missing: ClassVar[bool] = False
    """Whether a column that no row of a batch has is a missing value of each, as in JSON, or a broken batch."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Lower-case name; the rows land in the table `raw_<use case>.<name>`."""
    key: Annotated[list[ColumnName], Field(min_length=1)]
    """Columns that identify a row: a row that comes twice is stored once."""
    row_id: RowId | None = None
    """A column to add to rows that nothing identifies; left out, the source has its key."""
    missing_values: dict[ColumnName, list[str]] = {}
    """Texts that stand for a missing value, by column, such as `{age: [NA, "?"], sum: ["-999", inf]}`; of a column of
    numbers the number that the text is. An empty text always does."""
    decimal_comma: list[ColumnName] = []
    """Columns of text whose numbers have a comma before the decimals and may have points between thousands, as in
    1.234,5."""
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
    max_days_per_run: WholeDays = 7
    """How many new days the new-data sensor ingests in one run; of partitions of months, all months that hold them."""
    look_back_days: WholeDays = 30
    """When the source's content changed: how many days are read again, for late rows and labels that became known."""
    schema_change: Literal["ignore", "evolve", "freeze", "quarantine"] = "ignore"
    """What happens when the source has a column that the contract does not name. `ignore`: it is left out, and the run
    says so. `evolve`: it is stored as text; and a nullable column that is gone is empty from then on. `freeze`: the
    batch is refused whole. `quarantine`: rows with a value in it go to quarantine. A value of another type than the
    contract's goes to quarantine with each of them."""
    freshness: Freshness | None = None
    """When the watchdog calls it stale; left out, it does not look."""

    @model_validator(mode="before")
    @classmethod
    def _no_time_no_partitions(cls, given: Any) -> Any:
        """A source without a time, or one that goes on where it stopped, needs not say that it has no partitions."""
        if not isinstance(given, dict):
            return given
        timeless = "time_column" in given and given["time_column"] is None
        return {"partition": "none", **given} if timeless or cls.reads_on(given) else given

    @model_validator(mode="after")
    def _partitions_have_a_time_and_a_start(self) -> "AnySource":
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

    @model_validator(mode="after")
    def _where_it_stopped_is_no_partition(self) -> "AnySource":
        if self.goes_on and (self.partition != "none" or self.start or self.end):
            raise ValueError(
                f"source `{self.name}` goes on where the run before it stopped, so it has no "
                "`partition` but none, no `start` and no `end`; a run's `first_day` reads days again"
            )
        return self

    @model_validator(mode="after")
    def _what_goes_on_has_a_key(self) -> "AnySource":
        if self.goes_on and self.row_id is not None:
            raise ValueError(
                f"source `{self.name}` goes on where the run before it stopped, so `row_id` cannot tell equal rows of "
                "two runs apart; name columns of the rows as its `key`"
            )
        return self

    @property
    def goes_on(self) -> bool:
        """Whether a run reads on from the cursor that the one before it stored with its rows."""
        return self.reads_on({name: getattr(self, name) for name in type(self).model_fields})

    @classmethod
    def reads_on(cls, given: Mapping[str, Any]) -> bool:
        """Whether fields of these values make it one that goes on."""
        return any(map(given.get, cls.goes_on_if))
