"""Definitions that a real Dagster loads: the sources that stand as JSON in the folder that a variable names."""

import json
import os
from pathlib import Path

import dagster as dg

from mlplatform.resources import shared_resources
from mlplatform.spec import Declaration, load_declaration
from mlplatform.spec import UseCase as UseCaseSpec
from mlplatform.stages.raw import raw_asset

FOLDER = "MLPLATFORM_TESTS_SOURCES"

_folder = Path(os.environ[FOLDER])
_spec = load_declaration("fraud").spec.model_dump() | {"sources": json.loads((_folder / "sources.json").read_text())}
_uc = Declaration(UseCaseSpec.model_validate(_spec), _folder)
defs = dg.Definitions(
    [raw_asset(_uc, source) for source in _uc.spec.sources],
    resources=shared_resources(),
    executor=dg.in_process_executor,
)
