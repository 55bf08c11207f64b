"""The declaration of a use case as frozen pydantic models. No Dagster here: stages, service and cli all read it."""

from mlplatform.spec._base import Declared
from mlplatform.spec.alerts import AlertChannel, AlertKind, EmailChannel, LogChannel, SlackChannel, WebhookChannel
from mlplatform.spec.candidate import (
    Candidate,
    EnsembleCandidate,
    KerasCandidate,
    LightGBMCandidate,
    SearchedCandidate,
    SklearnCandidate,
    TorchCandidate,
    Tuning,
)
from mlplatform.spec.database import Database
from mlplatform.spec.drift import Drift
from mlplatform.spec.healing import DEFAULT_RULES, Remedy, Rule
from mlplatform.spec.journal import Journal
from mlplatform.spec.load import Declaration, declared_use_cases, load_declaration
from mlplatform.spec.performance import Performance
from mlplatform.spec.policy import (
    AnyPolicy,
    CombinedPolicy,
    DriftPolicy,
    DriftSignal,
    NeverPolicy,
    PerformancePolicy,
    PerformanceSignal,
    Policy,
    SchedulePolicy,
)
from mlplatform.spec.rest import RestSource
from mlplatform.spec.rollback import Rollback
from mlplatform.spec.row_id import RowId
from mlplatform.spec.serving import Serving
from mlplatform.spec.source import FilesSource, PythonSource, Source, SqlSource
from mlplatform.spec.split import Split, SplitByGroup, SplitByTime
from mlplatform.spec.stream import StreamSource
from mlplatform.spec.task import BinaryTask, Costs, ForecastTask, MulticlassTask, RankingTask, RegressionTask, Task
from mlplatform.spec.training import Gates, Training
from mlplatform.spec.use_case import Contract, Leakage, Outcomes, UseCase
from mlplatform.spec.watchdog import Freshness, Watchdog

__all__ = [
    "DEFAULT_RULES",
    "AlertChannel",
    "AlertKind",
    "AnyPolicy",
    "BinaryTask",
    "Candidate",
    "CombinedPolicy",
    "Contract",
    "Costs",
    "Database",
    "Declaration",
    "Declared",
    "Drift",
    "DriftPolicy",
    "DriftSignal",
    "EmailChannel",
    "EnsembleCandidate",
    "FilesSource",
    "ForecastTask",
    "Freshness",
    "Gates",
    "Journal",
    "KerasCandidate",
    "Leakage",
    "LightGBMCandidate",
    "LogChannel",
    "MulticlassTask",
    "NeverPolicy",
    "Outcomes",
    "Performance",
    "PerformancePolicy",
    "PerformanceSignal",
    "Policy",
    "PythonSource",
    "RankingTask",
    "RegressionTask",
    "Remedy",
    "RestSource",
    "Rollback",
    "RowId",
    "Rule",
    "SchedulePolicy",
    "SearchedCandidate",
    "Serving",
    "SklearnCandidate",
    "SlackChannel",
    "Source",
    "Split",
    "SplitByGroup",
    "SplitByTime",
    "SqlSource",
    "StreamSource",
    "Task",
    "TorchCandidate",
    "Training",
    "Tuning",
    "UseCase",
    "Watchdog",
    "WebhookChannel",
    "declared_use_cases",
    "load_declaration",
]
