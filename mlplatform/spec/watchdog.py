"""What is watched that no run tells of: sensors, sources, disks."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from mlplatform.spec._base import Declared
from mlplatform.spec.span import Days, Hours

__all__ = ["Freshness", "Watchdog"]


class Freshness(Declared):
    """When a source counts as stale. One that has reached its declared `end` never does."""

    max_silence_hours: Hours | None = None
    """Hours, by the clock on the wall, since a new or changed row was last stored: sees a source that has stopped."""
    max_lag_days: Days | None = None
    """Days, in the data's time, by which its newest event may lie behind the newest of all sources of the use case. It
    sees one source that fell behind the others, also when history is replayed."""


class Watchdog(Declared):
    """Limits of the watchdog; the same checks run in a sensor, in `mlplatform doctor` and in `mlplatform up`."""

    missed_intervals: Annotated[int, Field(ge=2)] = 10
    """A sensor that has not ticked for this many of its intervals (and at least two minutes) has stopped."""
    failed_ticks: PositiveInt = 3
    """A sensor whose last ticks, this many in a row, have failed needs a person."""
    min_free_gib: Annotated[float, Field(ge=0)] = 2.0
    """With less free disk than this no run is started."""
    max_journal_mib: PositiveFloat = 1024
    """More predictions than this that wait to be taken into the lake are a backlog."""
    reminders: Annotated[int, Field(ge=0)] = 3
    """How often an alert of something that stays wrong is repeated, once a day."""
