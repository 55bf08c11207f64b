"""What a bundle carries so that a service can compute features: the query, its columns, and a rule for each field."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlplatform.errors import ArtifactError, LakeError

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule
    from mlplatform.lake.feature_query import AskedBy, FeatureQuery

__all__ = ["QUERY_FILE", "SETTINGS_FILE", "RawSettings"]

QUERY_FILE = "feature_query.json"
SETTINGS_FILE = "raw.json"


@dataclass(frozen=True)
class RawSettings:
    """How raw events become features."""

    query: "FeatureQuery"
    fields: tuple["Rule", ...]
    """What an application sends, in order."""
    spine: tuple[tuple[str, str], ...]
    """Name and DuckDB type of each column of the spine in the lake."""

    @property
    def asked_by(self) -> "AskedBy":
        """The query's own; a bundle without it has no RawSettings."""
        assert self.query.asked_by is not None
        return self.query.asked_by

    def save(self, folder: Path) -> None:
        """Write both files."""
        self.query.save(folder / QUERY_FILE)
        stored = {"fields": [rule.model_dump() for rule in self.fields], "spine": self.spine}
        (folder / SETTINGS_FILE).write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """None where the bundle has none. Raises ArtifactError when it is not what `save` writes."""
        path = folder / SETTINGS_FILE
        if not path.exists():
            return None
        from mlplatform.contracts.rules import Rule
        from mlplatform.lake.feature_query import FeatureQuery

        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            fields = tuple(Rule.model_validate(rule) for rule in stored["fields"])
            spine = tuple((str(name), str(kind)) for name, kind in stored["spine"])
            query = FeatureQuery.load(folder / QUERY_FILE)
        except (OSError, ValueError, KeyError, TypeError, LakeError) as error:
            raise ArtifactError(f"{path}: not a way to compute features ({error}); build the bundle again") from error
        if query.asked_by is None or [rule.name for rule in fields] != list(query.asked_by.fields):
            raise ArtifactError(f"{path}: its fields are not those of {QUERY_FILE}; build the bundle again")
        return cls(query, fields, spine)
