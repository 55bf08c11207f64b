"""What was wrong at the last look, so that people are told once, and reminded a few times."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlplatform.watchdog.checks import Finding

__all__ = ["Seen", "follow"]

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Seen:
    """Since when each subject has been wrong, without a break."""

    since: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> "Seen":
        """The reverse of `stored`; nothing from None."""
        return cls({name: datetime.fromisoformat(at) for name, at in json.loads(text or "{}").items()})

    def stored(self) -> str:
        """For a cursor."""
        return json.dumps({name: at.isoformat() for name, at in self.since.items()}, sort_keys=True)


def follow(
    seen: Seen, found: Sequence[Finding], now: datetime, reminders: int
) -> tuple[Seen, list[tuple[str, Finding]]]:
    """What is wrong now, and which findings to tell of, under which keys.

    A finding is told when it appears, and once a day, at most `reminders` times, while it stays. One that went away
    and comes back is new.
    """
    after = Seen({finding.subject: seen.since.get(finding.subject, now) for finding in found})
    told = []
    for finding in found:
        since = after.since[finding.subject]
        day = min((now - since) // _DAY, reminders)
        # The key names every stretch and day once: telling it again is no new alert.
        told.append((f"{finding.subject} since {since.isoformat(timespec='seconds')}, day {day}", finding))
    return after, told
