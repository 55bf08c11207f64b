"""`candidate_<name>` of kind `ensemble`: others read back from MLflow and blended, so that none is trained twice."""

from typing import Any

import dagster as dg

from mlplatform.resources.lake import SNAPSHOT, recorded_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration, EnsembleCandidate
from mlplatform.stages.naming import asset_key
from mlplatform.stages.trained import (
    TRAINED_ON,
    candidate_attributes,
    candidate_stage,
    recipe_of,
    record,
    require_same_split,
    trained_models,
)
from mlplatform.stages.training_set import AS_OF

__all__ = ["ensemble_asset"]


def ensemble_asset(uc: Declaration, candidate: EnsembleCandidate) -> dg.AssetsDefinition:
    """Weigh the members on the tune rows, calibrate the blend and judge it like any candidate."""
    members = uc.spec.training.members_of(candidate)
    description = f"A blend of {', '.join(members)}: weighed on the tune rows, calibrated, judged on unseen rows."

    @dg.asset(
        **candidate_attributes(uc, candidate, description),
        ins={"training_set": dg.AssetIn(asset_key(uc, "training_set"), input_manager_key="lake_io")},
        deps=[asset_key(uc, candidate_stage(name)) for name in members],
    )
    def blended(context: dg.AssetExecutionContext, training_set: Any, tracking: Tracking) -> dg.MaterializeResult[Any]:
        import pandas as pd

        from mlplatform.ml.ensemble import train_ensemble

        frozen = recorded_metadata(context.instance, asset_key(uc, "training_set"), context.run_id)
        require_same_split(uc, frozen)
        tags = {TRAINED_ON: str(frozen[SNAPSHOT]), AS_OF: str(frozen[AS_OF])}
        trained = trained_models(uc, members, context, tracking, int(frozen[SNAPSHOT]))
        with tracking.run(context, uc.spec.name, candidate.name, tags) as mlflow:
            result = train_ensemble(
                training_set,
                candidate,
                {name: each.model for name, each in trained.items()},
                uc.spec.training,
                event_time=uc.spec.event_time,
                as_of=pd.Timestamp(frozen[AS_OF]),
            )
            recipes = [recipe_of(tracking, each.run_id) for each in trained.values()]
            return record(mlflow, uc, candidate, result, training_set, frozen, tags, recipes)

    return blended
