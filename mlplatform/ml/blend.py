"""A weighted blend of models: their calibrated log-odds, added with weights that are not negative and add up to 1."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from mlplatform.ml.metrics import Floats, Labels
from mlplatform.ml.model import Model

__all__ = ["MEMBERS", "BlendScorer", "blend_weights"]

MEMBERS = "members"
LEAST = 0.01
"""A member with a smaller share would only cost time."""


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


def blend_weights(log_odds: Floats, labels: Labels, counts: Floats | None = None) -> Floats:
    """Weights [m], none negative, adding up to 1, of columns log_odds[n, m] whose sum fits labels [n] best.

    `counts` [n]: how many examples a row stands for, by default one.

    Stacking with weights that are not negative (Breiman, 1996, "Stacked regressions"), fitted by log loss with a free
    intercept: convex, so there is one answer. The sum is calibrated afterwards, so only the weights' ratio counts.
    Weights below `LEAST` become 0. Columns that all say nothing weigh the same.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    members = log_odds.shape[1]
    share = np.full(len(labels), 1 / len(labels)) if counts is None else counts / counts.sum()

    def loss(point: Floats) -> tuple[float, Floats]:
        score = log_odds @ point[:-1] + point[-1]
        wrong = share * (expit(score) - labels)
        return float(share @ (np.logaddexp(0.0, score) - labels * score)), np.append(log_odds.T @ wrong, wrong.sum())

    start = np.append(np.full(members, 1 / members), 0.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * members + [(None, None)])
    weights = found.x[:-1]
    shares = weights / weights.sum() if weights.sum() > 0 else np.full(members, 1 / members)
    shares = np.where(shares < LEAST, 0.0, shares)
    result: Floats = shares / shares.sum()
    return result


def _sum(parts: Iterable[Floats]) -> Floats:
    return reduce(np.add, parts)
