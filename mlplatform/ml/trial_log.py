"""The trials that a search has finished, as lines of JSON: a search that was killed goes on after the last of them.

A search draws the same points again when it starts again with the same seed, so that it is enough to remember what
each point was worth: the resumed search is the one that was not killed.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from mlplatform.ml.trainer import Params

__all__ = ["TrialLog"]


@dataclass(frozen=True)
class TrialLog:
    """Value and seconds by point. Without a path it remembers nothing.

    A log belongs to one search: the caller names its file after everything that a value depends on.
    """

    path: Path | None = None
    known: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path | None) -> "TrialLog":
        """What an earlier process left at `path`; a line that it did not finish writing is left out."""
        log = cls(path)
        if path is not None and path.exists():
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                log._read(line)
            if text and not text.endswith("\n"):
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n")
        return log

    def recall(self, params: Params) -> tuple[float, float] | None:
        """(value, seconds) of a point that was finished."""
        return self.known.get(_key(params))

    def keep(self, params: Params, value: float, seconds: float) -> None:
        """Write a finished point, so that it is there whatever happens to this process."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([_key(params), value, seconds]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, line: str) -> None:
        try:
            key, value, seconds = json.loads(line)
        except (ValueError, TypeError):
            return
        self.known[key] = (value, seconds)


def _key(params: Params) -> str:
    return json.dumps(dict(params), sort_keys=True)
