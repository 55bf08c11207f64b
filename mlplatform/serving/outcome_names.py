"""What the two labels are called in front of people: declared with the use case, carried by the bundle."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from mlplatform.errors import ArtifactError

__all__ = ["OutcomeNames"]

OUTCOMES_FILE = "outcomes.json"


@dataclass(frozen=True)
class OutcomeNames:
    """Of label 1 and label 0."""

    positive: str = "positive"
    negative: str = "negative"

    def save(self, folder: Path) -> None:
        """Write OUTCOMES_FILE."""
        (folder / OUTCOMES_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A bundle without the file has the usual names. Raises ArtifactError when it is not what `save` writes."""
        path = folder / OUTCOMES_FILE
        if not path.exists():
            return cls()
        try:
            return cls(**{name: str(value) for name, value in json.loads(path.read_bytes()).items()})
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise ArtifactError(f"{path}: not the names of two outcomes ({error}); build the bundle again") from error
