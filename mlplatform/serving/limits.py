"""What one request may hold: declared with the use case, carried by the bundle."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mlplatform.serving.bundle_settings import load_settings, save_settings

__all__ = ["LIMITS_FILE", "Limits", "longer_text"]

LIMITS_FILE = "limits.json"
_FEW = 10_000
"""So many values are read in any case: it takes no time, and what is wrong with them can be named one by one."""


@dataclass(frozen=True)
class Limits:
    """`body_bytes` of JSON, `rows` in a list, characters in one `text`, names of fields included; `explanation_ms` for
    reasons that nobody asked for by name, `explained_rows` in a list whose reasons somebody did ask for."""

    body_bytes: int = 4 * 1024 * 1024
    rows: int = 5000
    text: int = 4096
    explanation_ms: int = 50
    explained_rows: int = 500

    def values(self, fields: int) -> int:
        """How many values a body may hold, where a row has so many fields: as many again as the rows need, since
        tensors may be nested and fields misspelt."""
        return max(_FEW, 2 * self.rows * (fields + 1))

    def with_rows(self, most: int) -> Self:
        """The same, with no more rows than `most`."""
        return replace(self, rows=min(self.rows, most))

    def save(self, folder: Path) -> None:
        """Write LIMITS_FILE."""
        save_settings(folder / LIMITS_FILE, self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A bundle without the file has the usual limits. Raises ArtifactError when it is not what `save` writes."""
        path = folder / LIMITS_FILE
        if not path.exists():
            return cls()
        return load_settings(
            path, "the limits of requests", lambda told: cls(**{name: int(value) for name, value in told.items()})
        )


def longer_text(content: Any, limit: int) -> bool:
    """Whether any text of a JSON value, however deep, is longer than `limit` characters."""
    waiting: list[Iterable[Any]] = [(content,)]
    while waiting:
        for value in waiting.pop():
            kind = type(value)
            if kind is str and len(value) > limit:
                return True
            if kind is dict:
                waiting += [value.keys(), value.values()]
            elif kind is list:
                waiting.append(value)
    return False
