"""A message for people, and what every channel can do with it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from mlplatform.spec import AlertKind

__all__ = ["Alert", "Channel"]


@dataclass(frozen=True)
class Alert:
    """One thing that people should know."""

    key: str
    """What it is about, once and for all: an alert of a key is delivered once by each channel."""
    use_case: str
    kind: AlertKind
    title: str
    """One line."""
    text: str
    """The rest, as plain text: what failed, why, what is being done, what to do."""
    at: datetime
    """When it was raised, UTC without a zone."""
    run_id: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs: all fields, the time as ISO text with its zone."""
        return {**asdict(self), "at": f"{self.at.isoformat(timespec='seconds')}Z"}


class Channel(Protocol):
    """A way to reach people."""

    def send(self, alert: Alert) -> None:
        """Deliver one alert.

        Raises:
            AlertError: it was not delivered; the message says why, without secrets.
        """
