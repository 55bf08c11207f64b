"""Gradient-boosted trees as they are served: read from LightGBM's text, scored by its C library alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from mlplatform.errors import ArtifactError
from mlplatform.ml.cores import spare_threads
from mlplatform.ml.fast_row import MOST_ROWS, FastRow
from mlplatform.ml.metrics import Floats
from mlplatform.ml.native_booster import CONTRIBUTIONS, RAW, NativeBooster

__all__ = ["FILE", "StoredTrees", "threads_for"]

FILE = "model.txt"
FEW_ROWS = 1000


@dataclass(frozen=True)
class StoredTrees:
    """Scores bit for bit like the booster that was trained."""

    text: str
    booster: NativeBooster = field(compare=False)
    fast: FastRow | None = field(default=None, compare=False)
    """For few rows; None where there is no fast way."""
    kind: ClassVar[str] = "lightgbm"

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read `model.txt`; `stored` is unused, the text says it all."""
        del stored
        try:
            text = (folder / FILE).read_text(encoding="utf-8")
            booster = NativeBooster(text)
        except (OSError, ValueError, ArtifactError) as error:
            raise ArtifactError(f"cannot read {folder / FILE}: {error}; package the model again") from error
        return cls(text, booster, FastRow.of(text, booster))

    def raw(self, rows: Floats) -> Floats:
        """Sum of the leaves, [n]."""
        if self.fast and len(rows) <= MOST_ROWS:
            return self.fast.raw(rows)
        return self.booster.predict(rows, RAW, threads_for(rows))

    def contributions(self, rows: Floats) -> Floats:
        """TreeSHAP values (Lundberg et al., 2020) without the average, float64[n, f]."""
        if self.fast and len(rows) <= MOST_ROWS:
            return self.fast.contributions(rows)[:, :-1]
        return self.booster.predict(rows, CONTRIBUTIONS, threads_for(rows))[:, :-1]

    def save(self, folder: Path) -> dict[str, Any]:
        """Write LightGBM's text as it was read."""
        (folder / FILE).write_text(self.text, encoding="utf-8")
        return {}


def threads_for(rows: Floats) -> int:
    """Waking a thread pool costs more than it saves on few rows: 0.1 ms with one thread, several ms with all."""
    return 1 if len(rows) < FEW_ROWS else spare_threads()
