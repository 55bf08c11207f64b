"""`candidate_<name>`: one tuned, calibrated model, with an MLflow run of its own."""

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.resources.lake import SNAPSHOT, recorded_metadata
from mlplatform.resources.tracking import MODEL_FOLDER, Tracking
from mlplatform.spec import Candidate, Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture
from mlplatform.stages.training_set import AS_OF, CONTENT_SHA256

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.train import TrainedCandidate

__all__ = ["IMPORTANCE_FILE", "MLFLOW_RUN", "TRAINED_ON", "TRAINING_SECONDS", "candidate_asset", "candidate_stage"]

CONTRACT_FILE = "contract.json"
FEATURE_QUERY_FILE = "feature_query.json"
IMPORTANCE_FILE = "importance.json"
_EXPLAINED_ROWS = 800

MLFLOW_RUN = "mlflow_run_id"
TRAINED_ON = "training_snapshot"
TRAINING_SECONDS = "training_seconds"


def candidate_stage(candidate: Candidate) -> str:
    """The name of the node."""
    return f"candidate_{candidate.name}"


def candidate_asset(uc: Declaration, candidate: Candidate) -> dg.AssetsDefinition:
    """Search, fit, calibrate and judge one candidate on the frozen training set."""
    description = f"A {candidate.kind} model: searched in time-ordered folds, calibrated, judged out of time."

    @dg.asset(
        **asset_attributes(
            uc,
            candidate_stage(candidate),
            description,
            {candidate.kind, "mlflow"},
            "model",
            _code_version(uc, candidate),
        ),
        ins={"training_set": dg.AssetIn(asset_key(uc, "training_set"), input_manager_key="lake_io")},
    )
    def trained(context: dg.AssetExecutionContext, training_set: Any, tracking: Tracking) -> dg.MaterializeResult[Any]:
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
            _log(mlflow, uc, candidate, result, pictures, frozen)
            run_id = mlflow.active_run().info.run_id
        return dg.MaterializeResult(metadata=_metadata(result, run_id, tags, pictures))

    return trained


def _pictures(uc: Declaration, result: "TrainedCandidate", rows: "pd.DataFrame") -> dict[str, bytes]:
    """PNGs by name, drawn on the out-of-time rows."""
    import numpy as np

    from mlplatform.ml import plots
    from mlplatform.ml.examples import row_weights

    test = rows[rows["part"] == "test"]
    labels = test[uc.spec.training.label].to_numpy(dtype=np.int64)
    matrix = result.model.matrix(test)
    scores = result.model.predict(matrix)
    shown = matrix[:_EXPLAINED_ROWS]
    threshold, weights = result.model.threshold, row_weights(test, uc.spec.training.weight)
    return {
        "precision_recall": plots.plot_precision_recall(labels, scores, threshold, weights),
        "calibration": plots.plot_calibration(labels, scores, weights=weights),
        "decision_curve": plots.plot_decision_curve(labels, scores, threshold, weights),
        "importance": plots.plot_importance(result.importance),
        "contributions": plots.plot_contributions(result.model.explain(shown), shown, result.model.features),
    }


def _code_version(uc: Declaration, candidate: Candidate) -> str:
    shared = code_version("ml", "stages/candidate.py", declared=uc.spec.training, without={"candidates"})
    return f"{shared[:8]}-{code_version(declared=candidate)[:4]}"


def _log(
    mlflow: Any,
    uc: Declaration,
    candidate: Candidate,
    result: "TrainedCandidate",
    pictures: dict[str, bytes],
    frozen: Mapping[str, Any],
) -> None:
    """Everything about the run that a reader of MLflow looks for; the model as text or ONNX, never a pickle."""
    from mlplatform.resources.lake_dataset import lake_dataset

    table = f"{uc.spec.name}.training_set"
    mlflow.log_input(lake_dataset(table, int(frozen[SNAPSHOT]), str(frozen[CONTENT_SHA256])), context="training")
    mlflow.log_params(_declared(uc, candidate))
    mlflow.log_params(dict(result.params))
    mlflow.log_params({"features": len(result.model.features), "train_rows": result.train_rows, **result.boundaries})
    for part, judged in (("tune", result.tune), ("test", result.test)):
        mlflow.log_metrics({f"{part}_{name}": value for name, value in judged.flat().items()})
    for trial in result.trials:
        mlflow.log_metric("trial_value", trial.value, step=trial.number)
    mlflow.log_metric(TRAINING_SECONDS, result.seconds)
    mlflow.log_params({"threshold": result.model.threshold, "feature_names": ", ".join(result.model.features)})
    mlflow.log_dict({name: v for name, v in frozen.items() if isinstance(v, str | int | float)}, "dataset.json")
    with tempfile.TemporaryDirectory(prefix="mlplatform-model-") as made:
        folder = Path(made)
        result.model.save(folder / MODEL_FOLDER)
        (folder / MODEL_FOLDER / IMPORTANCE_FILE).write_text(json.dumps(dict(result.importance)), encoding="utf-8")
        # As they were when the model learned: a later edit of the SQL or the contract must not reach an old model.
        shutil.copyfile(Home.current().feature_query(uc.spec.name), folder / MODEL_FOLDER / FEATURE_QUERY_FILE)
        (folder / MODEL_FOLDER / CONTRACT_FILE).write_text(_rules(uc), encoding="utf-8")
        for name, png in pictures.items():
            (folder / f"{name}.png").write_bytes(png)
        mlflow.log_artifacts(str(folder))


def _declared(uc: Declaration, candidate: Candidate) -> dict[str, Any]:
    """What the declaration fixes; with the data set and the search's result it is all that a training depends on."""
    fixed = candidate.model_dump(exclude={"name", "params", "tuning", "increasing", "decreasing"})
    lists = {name: ", ".join(getattr(candidate, name, ())) for name in ("increasing", "decreasing")}
    return {
        **fixed,
        **getattr(candidate, "params", {}),
        **{name: text for name, text in lists.items() if text},
        **{f"tuning_{name}": value for name, value in candidate.tuning.model_dump().items()},
        **{f"cost_{name}": value for name, value in uc.spec.training.costs.model_dump().items()},
        "code_version": _code_version(uc, candidate),
    }


def _metadata(
    result: "TrainedCandidate", run_id: str, tags: Mapping[str, str], pictures: dict[str, bytes]
) -> dict[str, Any]:
    figures = {name: value for name, value in result.test.flat().items() if math.isfinite(value)}
    return {
        # First, so that they stand on top in the UI.
        **{name: picture(png, name.replace("_", " ")) for name, png in pictures.items()},
        MLFLOW_RUN: run_id,
        **tags,
        TRAINING_SECONDS: round(result.seconds, 2),
        "trials": len(result.trials),
        "params": dg.MetadataValue.json(dict(result.params)),
        "boundaries": dg.MetadataValue.json(dict(result.boundaries)),
        "threshold": round(result.model.threshold, 6),
        **{f"test_{name}": round(value, 6) for name, value in figures.items()},
    }


def _rules(uc: Declaration) -> str:
    """The contract of the features that the model sees, as JSON for the service."""
    from mlplatform.contracts.load import load_contract
    from mlplatform.contracts.rules import describe, dump_rules

    features = set(uc.spec.training.features)
    rules = describe(load_contract(uc.folder, uc.spec.contract.module, "features"))
    return dump_rules([rule for rule in rules if rule.name in features])
