"""What the asset of every candidate records, and how later stages read it back."""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError, TrainingError
from mlplatform.home import Home
from mlplatform.resources.lake import SNAPSHOT, recorded_metadata
from mlplatform.resources.tracking import MODEL_FOLDER, Tracking
from mlplatform.spec import Candidate, Declaration, EnsembleCandidate
from mlplatform.spec.cleaning import describe_cleaning
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import AssetAttributes, asset_attributes, asset_key
from mlplatform.stages.pictures import picture
from mlplatform.stages.training_set import AS_OF, CONTENT_SHA256, SPLIT, split_version
from mlplatform.stages.warm_start import RECIPE_FILE, WarmStart

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.model import Model
    from mlplatform.ml.recipe import Recipe
    from mlplatform.ml.train import TrainedCandidate

__all__ = [
    "DATASET_FILE",
    "IMPORTANCE_FILE",
    "MLFLOW_RUN",
    "TRAINED_ON",
    "TRAINING_CODE",
    "TRAINING_SECONDS",
    "Trained",
    "candidate_attributes",
    "candidate_stage",
    "recipe_of",
    "record",
    "require_same_split",
    "search_log",
    "trained_models",
    "training_code",
]

CONTRACT_FILE = "contract.json"
DATASET_FILE = "dataset.json"
TRIALS_FILE = "trials.json"
FEATURE_QUERY_FILE = "feature_query.json"
IMPORTANCE_FILE = "importance.json"
_EXPLAINED_ROWS = 800
_CODE = ("stages/candidate.py", "stages/ensemble.py", "stages/trained.py", "stages/warm_start.py")

MLFLOW_RUN = "mlflow_run_id"
TRAINED_ON = "training_snapshot"
TRAINING_SECONDS = "training_seconds"
DECLARED = "declared"
"""Metadata key: the version of the declaration that it was trained by."""
TRAINING_CODE = "training_code"
"""MLflow parameter: the version of the code that trained."""


def candidate_stage(name: str) -> str:
    """The name of a candidate's node."""
    return f"candidate_{name}"


def candidate_attributes(uc: Declaration, candidate: Candidate, description: str) -> AssetAttributes:
    """Key, group, owners, tags and version of a candidate's node."""
    version = _code_version(uc, candidate)
    kinds = {candidate.kind, "mlflow"}
    return asset_attributes(uc, candidate_stage(candidate.name), description, kinds, "model", version)


@dataclass(frozen=True)
class Trained:
    """What a candidate's asset left behind."""

    run_id: str
    model: "Model"
    seconds: float


def trained_models(
    uc: Declaration, names: Iterable[str], context: dg.AssetExecutionContext, tracking: Tracking, snapshot: int
) -> dict[str, Trained]:
    """The models of candidates by name, read back from MLflow.

    Raises TrainingError when one was trained on another snapshot of the training set than `snapshot`, or by another
    declaration than today's.
    """
    from mlplatform.ml.model import Model

    declared = {candidate.name: candidate for candidate in uc.spec.training.candidates}
    trained = {}
    for name in names:
        key = asset_key(uc, candidate_stage(name))
        recorded = recorded_metadata(context.instance, key, context.run_id)
        if str(recorded.get(TRAINED_ON)) != str(snapshot):
            raise TrainingError(
                f"{key.to_user_string()} was trained on snapshot {recorded.get(TRAINED_ON, 'none')}, the training set "
                f"is snapshot {snapshot}; materialise that candidate again"
            )
        if recorded.get(DECLARED) != _declared_version(uc, declared[name]):
            raise TrainingError(
                f"{key.to_user_string()} was trained by another declaration than today's; materialise it again"
            )
        run_id = str(recorded[MLFLOW_RUN])
        model = Model.load(tracking.model_folder(run_id))
        trained[name] = Trained(run_id, model, float(recorded[TRAINING_SECONDS]))
    return trained


def search_log(uc: Declaration, candidate: Candidate, frozen: Mapping[str, Any], warm: WarmStart | None = None) -> Path:
    """Where the search of a candidate on a training set keeps its trials, until its model is recorded.

    A run that is killed leaves the file; the next one on the same rows, code, declaration and warm start goes on with
    it.
    """
    code = [_code_version(uc, candidate), _declared_version(uc, candidate), *_libraries()]
    began = json.dumps(warm.params, sort_keys=True) if warm else ""
    depends = f"{' '.join(code)} {frozen[CONTENT_SHA256]} {frozen[AS_OF]} {began}"
    digest = hashlib.sha256(depends.encode()).hexdigest()[:16]
    return Home.current().tuning / f"{uc.spec.name}-{candidate.name}-{digest}.jsonl"


def record(
    mlflow: Any,
    uc: Declaration,
    candidate: Candidate,
    result: "TrainedCandidate",
    rows: "pd.DataFrame",
    frozen: Mapping[str, Any],
    tags: Mapping[str, str],
    members: Sequence["Recipe"] = (),
) -> dg.MaterializeResult[Any]:
    """Model, figures and pictures into the open MLflow run; what the UI shows as the result.

    `rows`: the training set; `frozen`: its recorded metadata; `members`: recipes of what an ensemble blends.
    """
    from mlplatform.ml.recipe import Recipe

    pictures = _pictures(uc, result, rows)
    training = uc.spec.training
    recipe = Recipe(candidate, training, result.params, uc.spec.event_time, str(frozen[AS_OF]), tuple(members))
    _log(mlflow, uc, candidate, result, pictures, frozen)
    mlflow.log_dict(recipe.to_json(), RECIPE_FILE)
    told = _metadata(result, mlflow.active_run().info.run_id, tags, pictures)
    return dg.MaterializeResult(metadata=told | {DECLARED: _declared_version(uc, candidate)})


def _pictures(uc: Declaration, result: "TrainedCandidate", rows: "pd.DataFrame") -> dict[str, bytes]:
    """PNGs by name, drawn on the test rows."""
    from mlplatform.ml import plots
    from mlplatform.ml.task_plots import task_pictures

    model, test = result.model, rows[rows["part"] == "test"]
    matrix = model.matrix(test)
    shown, unit = matrix[:_EXPLAINED_ROWS], model.head.unit
    return {
        **task_pictures(uc.spec.training, test, model.predict(matrix), uc.spec.event_time),
        "importance": plots.plot_importance(result.importance, unit),
        "contributions": plots.plot_contributions(model.explain(shown), shown, model.features, unit=unit),
    }


def require_same_split(uc: Declaration, frozen: Mapping[str, Any]) -> None:
    """A training set that was cut by another split than today's would be judged on rows that a model learned from.

    Raises:
        TrainingError: the declared split was edited since the training set was frozen.
    """
    if frozen[SPLIT] != split_version(uc.spec.training.split):
        key = asset_key(uc, "training_set").to_user_string()
        raise TrainingError(f"{key} was cut by another split than the one declared today; materialise it again")


def _declared_version(uc: Declaration, candidate: Candidate) -> str:
    """Of what a model depends on in the declaration; of the gates it is the metric, which stops the training."""
    training = code_version(declared=uc.spec.training, without={"candidates", "gates"})
    return f"{training}-{code_version(declared=candidate)}-{uc.spec.training.metric}"


def _libraries() -> list[str]:
    """Those that fit, with their versions."""
    names = ("lightgbm", "scikit-learn", "optuna", "torch", "keras", "tensorflow")
    found = {each.metadata["Name"].lower(): each.version for each in distributions() if each.metadata["Name"]}
    return [f"{name}={found.get(name, 'none')}" for name in names]


def training_code() -> str:
    """The version of the code that trains, whatever is declared."""
    return code_version("ml")


def _code_version(uc: Declaration, candidate: Candidate) -> str:
    shared = code_version("ml", *_CODE, declared=uc.spec.training, without={"candidates"})
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
    from mlplatform.ml.tasks import task_for
    from mlplatform.resources.lake_dataset import lake_dataset

    table = f"{uc.spec.name}.training_set"
    mlflow.log_input(lake_dataset(table, int(frozen[SNAPSHOT]), str(frozen[CONTENT_SHA256])), context="training")
    mlflow.log_params(_declared(uc, candidate))
    mlflow.log_params(dict(result.params))
    mlflow.log_params({"train_rows": result.train_rows, **result.boundaries})
    for part, judged in (("tune", result.tune), ("test", result.test)):
        mlflow.log_metrics({f"{part}_{name}": value for name, value in judged.flat().items()})
    for trial in result.trials:
        if not trial.pruned:
            mlflow.log_metric("trial_value", trial.value, step=trial.number)
    mlflow.log_dict({"trials": [asdict(trial) for trial in result.trials]}, TRIALS_FILE)
    mlflow.log_metric(TRAINING_SECONDS, result.seconds)
    mlflow.log_params({"answers": task_for(uc.spec.training.task).levels, "features": ", ".join(result.model.features)})
    mlflow.log_dict({name: v for name, v in frozen.items() if isinstance(v, str | int | float)}, DATASET_FILE)
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


def recipe_of(tracking: Tracking, run_id: str) -> "Recipe":
    """What a run kept, enough to train its model again.

    Raises:
        ArtifactError: there is none, or a field of it means nothing today.
    """
    from pydantic import ValidationError

    from mlplatform.ml.recipe import Recipe

    try:
        return Recipe.from_json(json.loads(tracking.artifact(run_id, RECIPE_FILE).read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ArtifactError(f"the recipe of run {run_id} was written by another version: {error}") from error


def _declared(uc: Declaration, candidate: Candidate) -> dict[str, Any]:
    """What the declaration fixes; with the data set and the search's result it is all that a training depends on."""
    fixed = candidate.model_dump(exclude={"name", "params", "tuning", "increasing", "decreasing", "of"})
    lists = {name: ", ".join(getattr(candidate, name, ())) for name in ("increasing", "decreasing", "of")}
    budget = {} if isinstance(candidate, EnsembleCandidate) else candidate.tuning.model_dump()
    return {
        **fixed,
        **getattr(candidate, "params", {}),
        **{name: text for name, text in lists.items() if text},
        **{f"tuning_{name}": value for name, value in budget.items()},
        "cleaning": describe_cleaning(uc.spec.training.policies),
        **{f"task_{name}": str(value) for name, value in uc.spec.training.task.model_dump().items()},
        "calibration": uc.spec.training.calibration(candidate),
        "code_version": _code_version(uc, candidate),
        TRAINING_CODE: training_code(),
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
        "trials_pruned": sum(trial.pruned for trial in result.trials),
        "params": dg.MetadataValue.json(dict(result.params)),
        "boundaries": dg.MetadataValue.json(dict(result.boundaries)),
        **{f"test_{name}": round(value, 6) for name, value in figures.items()},
    }


def _rules(uc: Declaration) -> str:
    """The contract of the features that the model sees, as JSON for the service."""
    from mlplatform.contracts.load import load_contract
    from mlplatform.contracts.rules import describe, dump_rules

    features = set(uc.spec.training.features)
    rules = describe(load_contract(uc.folder, uc.spec.contract.module, "features"))
    return dump_rules([rule for rule in rules if rule.name in features])
