"""What Dagster loads: every declared use case, the shared resources and the executor."""

from pathlib import Path

import dagster as dg

from mlplatform.resources import shared_resources

__all__ = ["defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """All use cases below `mlplatform/use_cases`, one component each."""
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        dg.Definitions(
            resources=shared_resources(),
            # LightGBM and DuckDB use all cores themselves. Measured here, 8 steps that only import pandas, lightgbm,
            # duckdb and mlflow: in-process 20 s, Dagster's default (a process per step) 146 s.
            executor=dg.in_process_executor,
        ),
    )
