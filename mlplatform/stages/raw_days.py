"""Which days of a source a run reads: its partitions, or those that its configuration asks for once more."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from mlplatform.errors import SpecError
from mlplatform.ingest.days import Days
from mlplatform.spec import Source

__all__ = ["BACKFILL", "backfill_days", "is_partitioned", "partitions_of"]

BACKFILL = {
    "first_day": dg.Field(str, is_required=False, description="Read the days from this one (YYYY-MM-DD) on once more."),
    "last_day": dg.Field(str, is_required=False, description="The last of them; left out, today."),
}
"""The configuration of a raw asset whose source goes on."""


def partitions_of(source: Source) -> dg.DailyPartitionsDefinition | dg.MonthlyPartitionsDefinition | None:
    """One partition a day or a month, from the source's first day to its last (or today); None where it has none."""
    if source.partition == "none" or source.start is None:
        return None
    start = date.fromisoformat(source.start)
    behind = date.fromisoformat(source.end) + timedelta(days=1) if source.end else None
    if source.partition == "day":
        return dg.DailyPartitionsDefinition(start_date=source.start, end_date=behind.isoformat() if behind else None)
    # Whole months: the first is that of `start`, the last that of `end`, or the present one (`end_offset`), which is
    # read again until it is over.
    return dg.MonthlyPartitionsDefinition(
        start_date=start.replace(day=1).isoformat(),
        end_date=_month_behind(behind).isoformat() if behind else None,
        end_offset=0 if behind else 1,
    )


def backfill_days(source: Source, config: dict[str, str]) -> Days | None:
    """The days that a run's configuration asks for once more. Raises SpecError for what are no days."""
    first, last = config.get("first_day"), config.get("last_day")
    if first is None and last is None:
        return None
    try:
        start = date.fromisoformat(first or "")
        end = date.fromisoformat(last) if last else datetime.now(UTC).date()
    except ValueError:
        start, end = date.max, date.min
    if start > end:
        raise SpecError(
            f"source `{source.name}`: a backfill needs `first_day` and, not before it, `last_day`, as YYYY-MM-DD; it "
            f"was given {first!r} and {last!r}"
        )
    return Days(start, end + timedelta(days=1))


def is_partitioned(context: dg.AssetExecutionContext, source: Source) -> bool:
    """Whether the run is over partitions of this source: one beside a partitioned source is still read whole."""
    return source.partition != "none" and bool(context.has_partition_key or context.has_partition_key_range)


def _month_behind(day: date) -> date:
    """The first of the month that holds `day`, or of the next one if `day` lies inside it."""
    first = day.replace(day=1)
    return first if first == day else (first + timedelta(days=32)).replace(day=1)
