"""Prepare a home: folders, Dagster's settings, DuckDB's extensions, the lake, dbt's manifest."""

import os
from pathlib import Path

from mlplatform.home import Home

__all__ = ["prepare_home", "use_home"]

DAGSTER_YAML = """\
# Written by `mlplatform setup` when it is missing; yours to change.
telemetry: {enabled: false}
nux: {enabled: false}
run_retries:
  enabled: true
  max_retries: 0
  # A failed step is retried by its own policy, where it has one, and nowhere else.
  retry_on_asset_or_op_failure: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
concurrency:
  runs:
    max_concurrent_runs: 2
    # Two runs of one use case would train on the same rows twice and then compete for the champion alias.
    tag_concurrency_limits:
      - {key: mlplatform/use_case, value: {applyLimitPerUniqueValue: true}, limit: 1}
"""

# The same location name as in pyproject.toml and the checkout's workspace.yaml: sensors keep their state under it.
WORKSPACE_YAML = """\
# Written by `mlplatform setup` when it is missing.
load_from:
  - python_module: {module_name: mlplatform.definitions, location_name: mlplatform}
"""


def use_home(home: Home) -> None:
    """Make this process, and those that it starts, use the home."""
    os.environ.update(home.environment())


def prepare_home(home: Home) -> None:
    """Create what is missing and leave the rest alone; safe to call at every start."""
    from mlplatform.lake.extensions import copy_extensions
    from mlplatform.lake.lake import Lake

    use_home(home)
    for folder in (home.dagster, home.mlflow, home.bentoml, home.reports, home.dbt, home.locks):
        folder.mkdir(parents=True, exist_ok=True)
    _write_once(home.dagster / "dagster.yaml", DAGSTER_YAML)
    _write_once(home.dagster / "workspace.yaml", WORKSPACE_YAML)
    copy_extensions(home.extensions)
    Lake.at(home).create()


def _write_once(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
