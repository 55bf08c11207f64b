"""Spans of time in a declaration: never so long that no calendar could hold what is counted from them."""

from typing import Annotated

from pydantic import Field

__all__ = [
    "LONGEST_DAYS",
    "Days",
    "DaysOrNone",
    "Hours",
    "Seconds",
    "SecondsOrNone",
    "WholeDays",
    "WholeDaysOrNone",
    "WindowDays",
]

LONGEST_DAYS = 36_500
"""A hundred years. Python's calendar ends with the year 9999, and pandas' nanoseconds begin with 1677."""
# Many windows are looked back on at once.
_WINDOW_DAYS = 3_650
# Whatever one process waits for, or a training may take.
_SECONDS = 365 * 24 * 3600

# `OrNone`: nought is a span, too.
Days = Annotated[float, Field(gt=0, le=LONGEST_DAYS)]
DaysOrNone = Annotated[float, Field(ge=0, le=LONGEST_DAYS)]
WholeDays = Annotated[int, Field(gt=0, le=LONGEST_DAYS)]
WholeDaysOrNone = Annotated[int, Field(ge=0, le=LONGEST_DAYS)]
WindowDays = Annotated[int, Field(gt=0, le=_WINDOW_DAYS)]
Hours = Annotated[float, Field(gt=0, le=24 * LONGEST_DAYS)]
Seconds = Annotated[float, Field(gt=0, le=_SECONDS)]
SecondsOrNone = Annotated[float, Field(ge=0, le=_SECONDS)]
