"""What the two labels are called in front of people: declared with the use case, carried by the bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlplatform.serving.bundle_settings import load_settings, save_settings

__all__ = ["OutcomeNames"]

OUTCOMES_FILE = "outcomes.json"


@dataclass(frozen=True)
class OutcomeNames:
    """Of label 1 and label 0."""

    positive: str = "positive"
    negative: str = "negative"

    def save(self, folder: Path) -> None:
        """Write OUTCOMES_FILE."""
        save_settings(folder / OUTCOMES_FILE, self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A bundle without the file has the usual names. Raises ArtifactError when it is not what `save` writes."""
        path = folder / OUTCOMES_FILE
        if not path.exists():
            return cls()
        return load_settings(
            path, "the names of two outcomes", lambda told: cls(**{name: str(value) for name, value in told.items()})
        )
