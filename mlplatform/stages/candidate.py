"""`candidate_<name>`: one tuned, calibrated model, with an MLflow run of its own."""

from typing import Any

import dagster as dg

from mlplatform.resources.lake import SNAPSHOT, recorded_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Candidate, Declaration, EnsembleCandidate
from mlplatform.stages.ensemble import ensemble_asset
from mlplatform.stages.naming import asset_key
from mlplatform.stages.trained import TRAINED_ON, candidate_attributes, record, require_same_split, search_log
from mlplatform.stages.training_set import AS_OF
from mlplatform.stages.warm_start import champion_params

__all__ = ["candidate_asset"]


def candidate_asset(uc: Declaration, candidate: Candidate) -> dg.AssetsDefinition:
    """Search, fit, calibrate and judge one candidate on the frozen training set."""
    if isinstance(candidate, EnsembleCandidate):
        return ensemble_asset(uc, candidate)
    description = f"A {candidate.kind} model: searched in folds, calibrated, judged on unseen rows."

    @dg.asset(
        **candidate_attributes(uc, candidate, description),
        ins={"training_set": dg.AssetIn(asset_key(uc, "training_set"), input_manager_key="lake_io")},
    )
    def trained(context: dg.AssetExecutionContext, training_set: Any, tracking: Tracking) -> dg.MaterializeResult[Any]:
        import pandas as pd

        from mlplatform.ml.train import train_candidate

        frozen = recorded_metadata(context.instance, asset_key(uc, "training_set"), context.run_id)
        require_same_split(uc, frozen)
        tags = {TRAINED_ON: str(frozen[SNAPSHOT]), AS_OF: str(frozen[AS_OF])}
        warm = champion_params(uc, candidate, tracking, context.log.info)
        log = search_log(uc, candidate, frozen, warm)
        with tracking.run(context, uc.spec.name, candidate.name, tags) as mlflow:
            result = train_candidate(
                training_set,
                candidate,
                uc.spec.training,
                event_time=uc.spec.event_time,
                as_of=pd.Timestamp(frozen[AS_OF]),
                progress=lambda trial, value: context.log.info(f"trial {trial}: {value:.4f}"),
                log=log,
                earlier=warm.params if warm else None,
                note=context.log.info,
            )
            mlflow.log_params({"warm_start": f"{uc.spec.name}@{warm.version}" if warm else "none"})
            recorded = record(mlflow, uc, candidate, result, training_set, frozen, tags)
        log.unlink(missing_ok=True)
        return recorded

    return trained
