"""Ranges of days, and which of them to read next."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

from mlplatform.spec import Source

__all__ = ["Days", "declared_days", "next_days"]


@dataclass(frozen=True)
class Days:
    """A range of days: `start` is in it, `end` is the day behind it."""

    start: date
    end: date

    def chunks(self, days: int) -> Iterator["Days"]:
        """The range in pieces of at most `days` days."""
        step = timedelta(days=days)
        edges = [self.start + i * step for i in range((self.end - self.start) // step + 1)]
        yield from (Days(a, b) for a, b in pairwise([*edges, self.end]) if a < b)

    def keys(self, partition: Literal["day", "month"] = "day") -> list[str]:
        """The partitions that the days lie in, as they are called: the ISO text of their first day."""
        days = (self.start + timedelta(days=i) for i in range((self.end - self.start).days))
        if partition == "day":
            return [day.isoformat() for day in days]
        return list(dict.fromkeys(day.replace(day=1).isoformat() for day in days))

    def __str__(self) -> str:
        last = self.end - timedelta(days=1)
        return f"{self.start}..{last}" if last > self.start else f"{self.start}"


def declared_days(source: Source, available: tuple[date, date] | None) -> Days | None:
    """What a source has, cut to its declared `start` and `end`; None where nothing is left."""
    if available is None:
        return None
    first, behind = available
    if source.end:
        behind = min(behind, date.fromisoformat(source.end) + timedelta(days=1))
    days = Days(max(first, date.fromisoformat(source.start)) if source.start else first, behind)
    return days if days.start < days.end else None


def next_days(source: Source, there: Days | None, covered: date | None, changed: bool) -> Days | None:
    """The days to read next, if any. Rows are merged by key, so reading a day again is harmless.

    Args:
        source: declares the step (`max_days_per_run`) and the look-back (`look_back_days`).
        there: the days that the source has.
        covered: the day behind the newest that was carried through to a decision; None before the first.
        changed: whether the source's content may have changed since then: late rows, labels that became known.
    """
    if there is None:
        return None
    if covered is None:
        # The first training needs all the history there is; after it, time goes on in steps that can be watched.
        return there
    if there.end <= covered and not changed:
        return None
    # The newest covered day may not have been over when it was read.
    back = timedelta(days=source.look_back_days if changed else 1)
    step = timedelta(days=source.max_days_per_run)
    days = Days(max(there.start, covered - back), min(there.end, covered + step))
    return days if days.start < days.end else None
