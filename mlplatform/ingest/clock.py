"""The present moment, for sources whose counterpart does not tell it: passed in, so that a test or a replay sets it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

__all__ = ["Clock", "utc_now"]

Clock: TypeAlias = Callable[[], datetime]
"""Gives a moment in UTC, without a zone."""


def utc_now() -> datetime:
    """The wall clock's."""
    return datetime.now(UTC).replace(tzinfo=None)
