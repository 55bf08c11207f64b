"""The declaration of a use case as frozen pydantic models. No Dagster here: stages, service and cli all read it."""

from mlplatform.spec._base import Declared
from mlplatform.spec.load import Declaration, declared_use_cases, load_declaration
from mlplatform.spec.monitoring import Drift, Policy
from mlplatform.spec.source import FilesSource, PythonSource, Source
from mlplatform.spec.training import (
    Candidate,
    Costs,
    EnsembleCandidate,
    Gates,
    KerasCandidate,
    LightGBMCandidate,
    SearchedCandidate,
    SklearnCandidate,
    Split,
    SplitByGroup,
    SplitByTime,
    TorchCandidate,
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
    "EnsembleCandidate",
    "FilesSource",
    "Gates",
    "KerasCandidate",
    "Leakage",
    "LightGBMCandidate",
    "Outcomes",
    "Policy",
    "PythonSource",
    "SearchedCandidate",
    "SklearnCandidate",
    "Source",
    "Split",
    "SplitByGroup",
    "SplitByTime",
    "TorchCandidate",
    "Training",
    "Tuning",
    "UseCase",
    "declared_use_cases",
    "load_declaration",
]
