"""Where state lives: one folder, named by MLPLATFORM_HOME, that git never sees."""

import os
from dataclasses import dataclass
from pathlib import Path

from mlplatform.project import checkout_folder, own_project, project_environment

__all__ = ["Home"]


@dataclass(frozen=True)
class Home:
    """Paths below the home folder. Nothing is created by asking for a path."""

    root: Path

    @classmethod
    def current(cls) -> "Home":
        """The home of this process: MLPLATFORM_HOME, else `.mlplatform` in the project (or working) folder."""
        named = os.environ.get("MLPLATFORM_HOME")
        return cls(Path(named).expanduser().resolve() if named else _project_folder() / ".mlplatform")

    @property
    def lake_catalog(self) -> Path:
        """The SQLite file that lists DuckLake's tables, files and snapshots."""
        return self.root / "lake" / "catalog.sqlite"

    @property
    def lake_data(self) -> Path:
        """DuckLake's Parquet files."""
        return self.root / "lake" / "data"

    @property
    def extensions(self) -> Path:
        """DuckDB's extension folder, filled from the pinned wheels."""
        return self.root / "duckdb_extensions"

    @property
    def locks(self) -> Path:
        """Lock files of the processes that share this home."""
        return self.root / "locks"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME: runs, events and schedules."""
        return self.root / "dagster"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def mlflow_database(self) -> Path:
        """MLflow's SQLite file: runs, metrics, registered models."""
        return self.mlflow / "mlflow.sqlite"

    @property
    def mlflow_uri(self) -> str:
        """Where MLflow keeps runs and registered models."""
        return f"sqlite:///{self.mlflow_database}"

    @property
    def tuning(self) -> Path:
        """Finished trials of searches that are under way, or were killed."""
        return self.root / "tuning"

    @property
    def backtests(self) -> Path:
        """Finished steps of policy backtests; may be deleted, they are worked out again."""
        return self.root / "backtest"

    @property
    def bentoml(self) -> Path:
        """BENTOML_HOME: the Bento store."""
        return self.root / "bentoml"

    @property
    def dbt(self) -> Path:
        """dbt's target (the manifest, compiled SQL) and logs."""
        return self.root / "dbt"

    def feature_query(self, use_case: str) -> Path:
        """The compiled feature SQL of the last dbt build."""
        return self.dbt / f"{use_case}-feature-query.json"

    @property
    def reports(self) -> Path:
        """HTML that people open; `mlplatform up` serves this folder."""
        return self.root / "reports"

    @property
    def reports_url(self) -> str:
        """Where `mlplatform up` serves the reports; MLPLATFORM_REPORTS_URL says otherwise."""
        return os.environ.get("MLPLATFORM_REPORTS_URL", "http://127.0.0.1:3002")

    @property
    def logs(self) -> Path:
        """One file per run, part and service, and the alerts."""
        return self.root / "logs"

    @property
    def alert_log(self) -> Path:
        """Alerts of `kind: log`, one line of JSON each."""
        return self.logs / "alerts.log"

    def deployment(self, use_case: str) -> Path:
        """The pointer that a running service follows: which bento is live."""
        return self.root / "deployments" / f"{use_case}.json"

    def challenger(self, use_case: str) -> Path:
        """What a running service tries beside the live bento, as long as the file is there."""
        return self.root / "deployments" / f"{use_case}.challenger.json"

    def journal(self, use_case: str) -> Path:
        """Where its services write down what they predict, until it is in the lake."""
        return self.root / "journal" / use_case

    @property
    def secrets(self) -> Path:
        """What only its owner may read; `make_private` makes it."""
        return self.root / "secrets"

    @property
    def journal_key(self) -> Path:
        """The key of the hashes in the journal."""
        return self.secrets / "journal.key"

    def api_keys(self, use_case: str) -> Path:
        """The hashes of the keys that its services accept; with the file, they accept nobody else."""
        return self.secrets / "api-keys" / f"{use_case}.json"

    def environment(self) -> dict[str, str]:
        """Variables that make dagster, dbt, mlflow and bentoml, called by hand, use this home."""
        return {
            "MLPLATFORM_HOME": str(self.root),
            "DAGSTER_HOME": str(self.dagster),
            "BENTOML_HOME": str(self.bentoml),
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            # Usage reports of the libraries go nowhere.
            "BENTOML_DO_NOT_TRACK": "True",
            "DO_NOT_TRACK": "1",
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # `mlflow ui`, called by hand, reads another name than the clients do.
            "MLFLOW_BACKEND_STORE_URI": self.mlflow_uri,
            # Nothing here uses MLflow's job queue (seven processes).
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Off by default upstream: an untrusted model must never be unpickled.
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            **project_environment(),
        }


def _project_folder() -> Path:
    return own_project() or checkout_folder() or Path.cwd()
