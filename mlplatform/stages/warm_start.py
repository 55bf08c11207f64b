"""What the champion was trained with, as a place to begin the next search."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlplatform.errors import ArtifactError
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration, SearchedCandidate

__all__ = ["RECIPE_FILE", "WarmStart", "champion_params"]

RECIPE_FILE = "recipe.json"
"""Of each MLflow run: all that the training depended on."""


@dataclass(frozen=True)
class WarmStart:
    """The parameters that the search of a registered version had found."""

    version: int
    params: dict[str, Any]


def champion_params(
    uc: Declaration, candidate: SearchedCandidate, tracking: Tracking, note: Callable[[str], None]
) -> WarmStart | None:
    """From the recipe of the champion's run; None, with a note why, where it has nothing to say to this candidate."""
    if not candidate.tuning.warm_start or candidate.tuning.trials == 0:
        return None
    champion = tracking.champion(uc.spec.name)
    if champion is None:
        return None
    try:
        recipe = json.loads(tracking.artifact(champion.run_id, RECIPE_FILE).read_text(encoding="utf-8"))
    except ArtifactError as error:
        note(f"no warm start: {error}")
        return None
    theirs, ours = recipe["candidate"], candidate.model_dump()
    if (theirs["kind"], theirs.get("model")) != (ours["kind"], ours.get("model")):
        note(f"no warm start: champion v{champion.version} is {theirs.get('model') or theirs['kind']}")
        return None
    note(f"warm start: {candidate.name} begins with the parameters of champion v{champion.version}")
    return WarmStart(champion.version, dict(recipe["params"]))
