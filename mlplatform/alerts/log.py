"""Alerts as lines of JSON in a file."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from mlplatform.alerts.alert import Alert
from mlplatform.errors import AlertError

__all__ = ["Log"]


@dataclass(frozen=True)
class Log:
    """Appends to one file; a line is written in one piece, so that several processes may share it."""

    path: Path

    def send(self, alert: Alert) -> None:
        """Append a line."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.write(orjson.dumps(alert.as_json(), option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise AlertError(f"{self.path} cannot be written: {error.strerror}") from error
