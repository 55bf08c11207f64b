"""MLflow: one run per trained candidate, and the registry that knows the champion.

`dagster_mlflow` opens one MLflow run per Dagster run, so that candidates would overwrite each other's metrics, and
leaves it RUNNING without its hook. Here each candidate gets a run of its own, made first and handed to it by id, and
it is closed here, whatever happens.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from mlplatform.errors import ArtifactError
from mlplatform.home import Home

__all__ = ["CHAMPION", "Registered", "Tracking"]

CHAMPION = "champion"
MODEL_FOLDER = "model"


@dataclass(frozen=True)
class Registered:
    """A version in the registry and the run that made it."""

    use_case: str
    version: int
    run_id: str
    tags: Mapping[str, str]


class Tracking(dg.ConfigurableResource[Any]):
    """A thin layer over `dagster_mlflow` and MLflow's client. MLflow is imported when it is first needed (5 s)."""

    @contextmanager
    def run(self, context: dg.AssetExecutionContext, use_case: str, name: str, tags: dict[str, str]) -> Iterator[Any]:
        """An MLflow run for one candidate; gives the `dagster_mlflow` object, which has all of mlflow's functions."""
        client = self.client()
        experiment = _experiment(client, use_case)
        run_id = client.create_run(experiment, run_name=name).info.run_id
        mlflow = _dagster_mlflow(
            context, use_case, run_id, {**tags, "use_case": use_case, "candidate": name, "mlflow.runName": name}
        )
        try:
            yield mlflow
        except BaseException:
            mlflow.end_run("FAILED")
            raise
        mlflow.end_run("FINISHED")

    def client(self) -> Any:
        """MLflow's client on this home's database."""
        home = Home.current()
        os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        import mlflow

        _ensure_database(home)
        mlflow.set_tracking_uri(home.mlflow_uri)
        return mlflow.MlflowClient()

    def model_folder(self, run_id: str) -> Path:
        """Where the model artifacts of a run lie on this machine."""
        from mlflow.artifacts import download_artifacts

        client = self.client()
        uri = f"{client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
        folder = Path(download_artifacts(artifact_uri=uri))
        if not folder.is_dir():
            raise ArtifactError(f"MLflow run {run_id} holds no model at {uri}; train the candidate again")
        return folder

    def artifact(self, run_id: str, name: str) -> Path:
        """Where a file of a run lies on this machine.

        Raises:
            ArtifactError: the run holds no such file.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        uri = f"{self.client().get_run(run_id).info.artifact_uri}/{name}"
        try:
            return Path(download_artifacts(artifact_uri=uri))
        except (OSError, MlflowException) as error:
            raise ArtifactError(f"MLflow run {run_id} holds no {name} ({error}); train the candidate again") from error

    def keep(self, run_id: str, name: str, content: Mapping[str, Any]) -> None:
        """Add a JSON file to a run, also to one that has ended."""
        self.client().log_dict(run_id, dict(content), name)

    def champion(self, use_case: str) -> Registered | None:
        """The version that carries the champion alias, if any."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client().get_model_version_by_alias(use_case, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return Registered(use_case, int(found.version), found.run_id, dict(found.tags))

    def version(self, use_case: str, number: int) -> Registered | None:
        """A registered version, if there is one of that number."""
        found = [each for each in self._versions(use_case) if int(each.version) == number]
        return Registered(use_case, number, found[0].run_id, dict(found[0].tags)) if found else None

    def versions(self, use_case: str) -> list[int]:
        """The numbers of the registered versions, oldest first."""
        return sorted(int(each.version) for each in self._versions(use_case))

    def _versions(self, use_case: str) -> list[Any]:
        return list(self.client().search_model_versions(f"name = '{use_case}'"))

    def register(self, use_case: str, run_id: str, tags: Mapping[str, str]) -> Registered:
        """Make the model of a run a new version; no alias moves."""
        client = self.client()
        _ensure_registered(client, use_case)
        source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
        made = client.create_model_version(use_case, source, run_id, tags=dict(tags))
        return Registered(use_case, int(made.version), run_id, dict(tags))

    def describe(self, version: Registered, tags: Mapping[str, str]) -> Registered:
        """Set tags of a version; others stay."""
        for name, value in tags.items():
            self.client().set_model_version_tag(version.use_case, str(version.version), name, value)
        return replace(version, tags={**version.tags, **tags})

    def make_champion(self, use_case: str, version: int) -> None:
        """Move the champion alias to a registered version."""
        self.client().set_registered_model_alias(use_case, CHAMPION, str(version))

    def training_snapshots(self) -> set[int]:
        """Lake snapshots that registered models were trained on: they must never expire."""
        versions = self.client().search_model_versions()
        return {int(v.tags["training_snapshot"]) for v in versions if "training_snapshot" in v.tags}


@dataclass(frozen=True)
class _RunContext:
    """The part of Dagster's init context that `dagster_mlflow` reads, taken from the running asset."""

    log: Any
    dagster_run: dg.DagsterRun
    run_id: str
    resource_config: Mapping[str, Any]


def _dagster_mlflow(context: dg.AssetExecutionContext, use_case: str, run_id: str, tags: dict[str, str]) -> Any:
    # Importing it copies every attribute of mlflow: 7 s, so only where a run is opened.
    from dagster_mlflow.resources import MlFlow

    config = {
        "experiment_name": use_case,
        "mlflow_tracking_uri": Home.current().mlflow_uri,
        "mlflow_run_id": run_id,
        "extra_tags": tags,
    }
    return MlFlow(_RunContext(context.log, context.run, context.run_id, config))


def _ensure_database(home: Home) -> None:
    """Create MLflow's tables once. Two first runs at once would both create them, and one of them would fail; a first
    run that is killed meanwhile would leave half of them. So: one at a time, beside its place, and then renamed."""
    if home.mlflow_database.exists():
        return
    from mlflow import MlflowClient

    home.mlflow.mkdir(parents=True, exist_ok=True)
    home.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(home.locks / "mlflow.lock"):
        if home.mlflow_database.exists():
            return
        unfinished = home.mlflow / "unfinished.sqlite"
        unfinished.unlink(missing_ok=True)
        MlflowClient(f"sqlite:///{unfinished}").search_experiments(max_results=1)
        unfinished.rename(home.mlflow_database)


def _experiment(client: Any, name: str) -> str:
    """The experiment's id; made with its artifacts below the home (MLflow's default is the working folder)."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=(Home.current().mlflow / "artifacts").as_uri()))
        except MlflowException:
            # Another run was first.
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def _ensure_registered(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
