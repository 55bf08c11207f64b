"""What a request may say of itself beside the features: which example it is about, and when that happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["EXACT", "INTEGERS", "LONGEST", "YEARS", "Identity", "as_moment", "key_text"]

LONGEST = 256
"""Characters of a key, or of a text of an event."""
EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2200, 1, 1)
"""Years 1 and 9999 are ways to say "no date"; what is kept of one would be the newest or oldest event for ever."""
YEARS = "^(19|2[01])"
"""A pattern of the first digits of a time between these."""
INTEGERS = (-(2**63), 2**63 - 1)
"""What a whole number of a key, or of an event, may be: 64 bits."""
EXACT = 2.0**53
"""From here on digits of a float have been lost, so that as a key it names another one than was meant."""


@dataclass(frozen=True)
class Identity:
    """Names of the entity keys and of the event time. None of it reaches the model; the journal keeps it, and labels
    that arrive later find their prediction by it."""

    keys: tuple[str, ...] = ()
    event_time: str = ""

    def names(self, features: frozenset[str]) -> frozenset[str]:
        """What a row may name beside its features."""
        return frozenset({*self.keys, self.event_time} - {""}) - features

    def problem(self, name: str, value: Any) -> tuple[str, str] | None:
        """What is wrong with a value, and what is allowed; None if it is good."""
        if name == self.event_time:
            return (
                None
                if as_moment(value)
                else ("is not a time", "an ISO 8601 time of 1900 to 2199, such as 2018-08-01T12:00:00")
            )
        value = _whole(value)
        if type(value) not in (str, int):
            return "is no key", "a text or a whole number"
        if type(value) is int and not INTEGERS[0] <= value <= INTEGERS[1]:
            return "does not fit into 64 bits", "a text or a whole number"
        return ("is too long", f"at most {LONGEST} characters") if len(str(value)) > LONGEST else None

    def keys_of(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The keys that a row names, as text."""
        return {name: key_text(row[name]) for name in self.keys if row.get(name) is not None}

    def time_of(self, row: Mapping[str, Any]) -> str | None:
        """The event time in UTC, ISO 8601 without an offset; None if the row names none."""
        moment = as_moment(row.get(self.event_time)) if self.event_time else None
        return moment.isoformat() if moment else None


def key_text(value: Any) -> str:
    """A key as it is kept and compared: 7.0 is the whole number 7, as in JSON Schema and for features."""
    return str(_whole(value))


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() and abs(value) < EXACT else value


def as_moment(value: Any) -> datetime | None:
    """A time in UTC without an offset, from ISO 8601 or a datetime; None if it is none of EARLIEST to LATEST."""
    if isinstance(value, datetime):
        moment = value
    elif type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
    else:
        return None
    try:
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        # The first hours of the year 1, east of Greenwich.
        return None
    return moment if EARLIEST <= moment < LATEST else None
