"""What Dagster loads: every declared use case, the shared resources and the executor."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import dagster as dg

from mlplatform import use_cases
from mlplatform.project import PACKAGE, own_project, use_cases_folder
from mlplatform.resources import shared_resources

__all__ = ["defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """All use cases of the project in use, one component each: those of a folder of one's own, else the platform's."""
    # Not `load_from_defs_folder`: it looks for a pyproject.toml at run time, and an installed wheel has none.
    tree = dg.ComponentTree.from_module(_declarations(), project_root=own_project() or PACKAGE.parent)
    return dg.Definitions.merge(
        tree.build_defs(),
        dg.Definitions(
            resources=shared_resources(),
            # LightGBM and DuckDB use all cores themselves. Measured here, 8 steps that only import pandas, lightgbm,
            # duckdb and mlflow: in-process 20 s, Dagster's default (a process per step) 146 s.
            executor=dg.in_process_executor,
        ),
    )


def _declarations() -> ModuleType:
    """The folder of the use cases as Dagster wants it: a module. One's own folder need not be a package."""
    if own_project() is None:
        return use_cases
    spec = ModuleSpec("mlplatform_own_use_cases", None, is_package=True)
    spec.submodule_search_locations = [str(use_cases_folder())]
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    return module
