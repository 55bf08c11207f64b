"""The search space of a trainer, less what the declaration fixes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mlplatform.errors import TrainingError

if TYPE_CHECKING:
    from mlplatform.ml.trainer import Params
    from mlplatform.spec.candidate import SearchedCandidate

__all__ = ["Bounds", "Space", "draw", "free", "require_known"]

Bounds = tuple[float, float, bool]
"""Lowest, highest, and whether it is searched by its logarithm; whole numbers are searched as such."""
Space = Mapping[str, Bounds]


def free(candidate: SearchedCandidate, point: Params) -> Params:
    """A point of the space without the parameters that are declared."""
    return {name: value for name, value in point.items() if name not in candidate.params}


def draw(trial: Any, space: Space, candidate: SearchedCandidate) -> Params:
    """A point that an Optuna trial suggests."""
    return {name: _draw(trial, name, *bounds) for name, bounds in space.items() if name not in candidate.params}


def require_known(candidate: SearchedCandidate, allowed: Collection[str]) -> None:
    """Raise TrainingError when the declaration fixes a parameter that the model does not have."""
    if unknown := sorted(set(candidate.params) - set(allowed)):
        raise TrainingError(
            f"params of candidate {candidate.name} name {', '.join(unknown)}; allowed are {', '.join(sorted(allowed))}"
        )


def _draw(trial: Any, name: str, low: float, high: float, log: bool) -> float | int:
    suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
    value: float | int = suggest(name, low, high, log=log)
    return value
