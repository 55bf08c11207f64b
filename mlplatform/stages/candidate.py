"""`candidate_<name>`: one tuned, calibrated model, with an MLflow run of its own."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.resources.lake import SNAPSHOT, LakeResource, recorded_metadata
from mlplatform.resources.tracking import MODEL_FOLDER, Tracking
from mlplatform.spec import Candidate, Declaration
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture
from mlplatform.stages.training_set import AS_OF

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.train import TrainedCandidate

__all__ = ["MLFLOW_RUN", "TRAINED_ON", "candidate_asset", "candidate_stage"]

MLFLOW_RUN = "mlflow_run_id"
TRAINED_ON = "training_snapshot"


def candidate_stage(candidate: Candidate) -> str:
    """The name of the node."""
    return f"candidate_{candidate.name}"


def candidate_asset(uc: Declaration, candidate: Candidate) -> dg.AssetsDefinition:
    """Search, fit, calibrate and judge one candidate on the frozen training set."""
    description = f"A {candidate.kind} model: searched in time-ordered folds, calibrated, judged out of time."

    @dg.asset(
        **asset_attributes(uc, candidate_stage(candidate), description, {candidate.kind, "mlflow"}, "model"),
        ins={"training_set": dg.AssetIn(asset_key(uc, "training_set"), input_manager_key="lake_io")},
    )
    def trained(
        context: dg.AssetExecutionContext, training_set: "pd.DataFrame", tracking: Tracking
    ) -> dg.MaterializeResult:
        import pandas as pd

        from mlplatform.ml.train import train_candidate

        frozen = recorded_metadata(context.instance, asset_key(uc, "training_set"), context.run_id)
        tags = {TRAINED_ON: str(frozen[SNAPSHOT]), AS_OF: str(frozen[AS_OF])}
        with tracking.run(context, uc.spec.name, candidate.name, tags) as mlflow:
            result = train_candidate(
                training_set,
                candidate,
                uc.spec.training,
                event_time=uc.spec.event_time,
                as_of=pd.Timestamp(frozen[AS_OF]),
                progress=lambda trial, value: context.log.info(f"trial {trial}: {value:.4f}"),
            )
            pictures = _pictures(uc, result, training_set)
            _log(mlflow, uc, result, pictures, frozen)
            run_id = mlflow.active_run().info.run_id
        return dg.MaterializeResult(metadata=_metadata(result, run_id, tags, pictures))

    return trained
