"""A weighted blend of models: their calibrated log-odds, added with weights that are not negative and add up to 1."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model

__all__ = ["MEMBERS", "BlendScorer"]

MEMBERS = "members"


@dataclass(frozen=True)
class BlendScorer:
    """Scores and explains by its members; those of weight 0 are not kept."""

    members: Mapping[str, Model]
    weights: Mapping[str, float]
    kind: ClassVar[str] = "ensemble"

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read each member's folder below `members`, and the weights of model.json."""
        weights = {str(name): float(weight) for name, weight in stored["weights"].items()}
        return cls({name: Model.load(folder / MEMBERS / name) for name in weights}, weights)

    def raw(self, rows: Floats) -> Floats:
        """Weighted sum of the members' calibrated log-odds, [n]."""
        return _sum(weight * self.members[name].calibrated(rows) for name, weight in self.weights.items())

    def contributions(self, rows: Floats) -> Floats:
        """Weighted sum of the members' contributions, float64[n, f].

        They add up to the score less a constant where all members are calibrated by a sigmoid.
        """
        return _sum(weight * self.members[name].explain(rows) for name, weight in self.weights.items())

    def save(self, folder: Path) -> dict[str, Any]:
        """Write each member as a folder; return the weights."""
        for name, member in self.members.items():
            member.save(folder / MEMBERS / name)
        return {"weights": dict(self.weights)}


def _sum(parts: Iterable[Floats]) -> Floats:
    return reduce(np.add, parts)
