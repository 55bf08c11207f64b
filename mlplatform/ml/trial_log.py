"""The folds that a search has finished, as lines of JSON: a search that was killed goes on after the last of them.

A search draws the same points and prunes the same trials when it starts again with the same seed, so that it is enough
to remember what each point was worth in each fold: the resumed search is the one that was not killed.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from mlplatform.ml.trainer import Params

__all__ = ["TrialLog"]


@dataclass
class TrialLog:
    """Value and seconds by point and fold. Without a path it remembers nothing.

    A log belongs to one search: the caller names its file after everything that a value depends on.
    """

    path: Path | None = None
    spent: float = 0.0
    """Seconds that earlier processes had been searching when they finished their last fold."""
    known: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    _writing: Lock = field(default_factory=Lock)

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

    def began(self, params: Params) -> bool:
        """Whether the first fold of a point was finished."""
        return (_key(params), 0) in self.known

    def recall(self, params: Params, fold: int) -> tuple[float, float] | None:
        """(value, seconds) of a point in a fold that was finished."""
        return self.known.get((_key(params), fold))

    def keep(self, params: Params, fold: int, value: float, seconds: float, spent: float) -> None:
        """Write a finished fold, so that it is there whatever happens to this process.

        `seconds`: what it took; `spent`: how long the whole search has been going on. Threads may write at once.
        """
        if self.path is None:
            return
        line = json.dumps([_key(params), fold, value, seconds, spent]) + "\n"
        with self._writing:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())

    def _read(self, line: str) -> None:
        try:
            key, fold, value, seconds, spent = json.loads(line)
        except (ValueError, TypeError):
            return
        self.known[key, fold] = (value, seconds)
        self.spent = max(self.spent, spent)


def _key(params: Params) -> str:
    return json.dumps(dict(params), sort_keys=True)
