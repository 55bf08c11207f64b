"""The declaration of a use case as frozen pydantic models. No Dagster here: stages, service and cli all read it."""

from mlplatform.spec._base import Declared
from mlplatform.spec.load import Declaration, declared_use_cases, load_declaration
from mlplatform.spec.monitoring import Drift, Policy
from mlplatform.spec.source import FilesSource, PythonSource, Source
from mlplatform.spec.training import (
    Candidate,
    Costs,
    Gates,
    LightGBMCandidate,
    LogisticCandidate,
    Split,
    SplitByGroup,
    SplitByTime,
    Training,
    Tuning,
)
from mlplatform.spec.use_case import Contract, Leakage, Outcomes, UseCase

__all__ = [
    "Candidate",
    "Contract",
    "Costs",
    "Declaration",
    "Declared",
    "Drift",
    "FilesSource",
    "Gates",
    "Leakage",
    "LightGBMCandidate",
    "LogisticCandidate",
    "Outcomes",
    "Policy",
    "PythonSource",
    "Source",
    "Split",
    "SplitByGroup",
    "SplitByTime",
    "Training",
    "Tuning",
    "UseCase",
    "declared_use_cases",
    "load_declaration",
]
