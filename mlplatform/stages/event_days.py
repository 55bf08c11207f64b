"""Days of event time as partitions, of what is scored by day and read from no source."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import dagster as dg

from mlplatform.spec import Declaration
from mlplatform.stages.jobs import PARTITION, RANGE_END, RANGE_START

__all__ = ["days_of_run", "event_days"]

_EPOCH = "1970-01-01"
"""Where no source declares its first day."""


def event_days(uc: Declaration) -> dg.DailyPartitionsDefinition:
    """Days from the sources' first one until today: requests, and other tables, go on where a source has its `end`."""
    first = min((source.start for source in uc.spec.sources if source.start), default=_EPOCH)
    # Today is one of them, and is scored again when it is over (`end_offset`).
    return dg.DailyPartitionsDefinition(start_date=first, end_offset=1)


def days_of_run(tags: Mapping[str, str]) -> tuple[datetime, datetime] | None:
    """From and until when: the partition, or the range of them, that a run's tags name; None where they name none."""
    single = tags.get(PARTITION)
    first, last = tags.get(RANGE_START, single), tags.get(RANGE_END, single)
    if not first or not last:
        return None
    start, end = (datetime.combine(date.fromisoformat(day), datetime.min.time()) for day in (first, last))
    return start, end + timedelta(days=1)
