"""When a request is sent again, and after how long: Retry-After, else exponential backoff with full jitter."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

__all__ = ["RETRIED", "Retry", "retry_after"]

RETRIED = frozenset({429, 503})
"""The service did not do the work, and may soon. Everything else that it answers is its last word."""


@dataclass(frozen=True)
class Retry:
    """`attempts`: how often at most a request is sent. Waits are drawn from 0 to `first_seconds`, doubled each time,
    never beyond `most_seconds`; who is told to come back later than `most_seconds` gives up at once."""

    attempts: int = 4
    first_seconds: float = 0.2
    most_seconds: float = 10.0
    draw: Callable[[float, float], float] = random.uniform

    def pause(self, attempt: int, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1); None: its outcome stands."""
        if attempt >= self.attempts or isinstance(outcome, httpx.UnsupportedProtocol):
            return None
        if isinstance(outcome, httpx.Response) and outcome.status_code not in RETRIED:
            return None
        asked = retry_after(outcome) if isinstance(outcome, httpx.Response) else None
        if asked is not None:
            return asked if asked <= self.most_seconds else None
        return self.draw(0.0, min(self.most_seconds, self.first_seconds * 2 ** (attempt - 1)))


def retry_after(response: httpx.Response) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); None without one that can be read."""
    said: str = response.headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    seconds: float = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds)
