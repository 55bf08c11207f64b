"""What Dagster loads: every declared use case, the shared resources and the executor."""

from pathlib import Path

import dagster as dg

from mlplatform import use_cases
from mlplatform.resources import shared_resources

__all__ = ["defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """All use cases below `mlplatform/use_cases`, one component each."""
    # Not `load_from_defs_folder`: it looks for a pyproject.toml at run time, and an installed wheel has none.
    tree = dg.ComponentTree.from_module(use_cases, project_root=Path(__file__).parent.parent)
    return dg.Definitions.merge(
        tree.build_defs(),
        dg.Definitions(
            resources=shared_resources(),
            # LightGBM and DuckDB use all cores themselves. Measured here, 8 steps that only import pandas, lightgbm,
            # duckdb and mlflow: in-process 20 s, Dagster's default (a process per step) 146 s.
            executor=dg.in_process_executor,
        ),
    )
