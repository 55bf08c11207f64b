"""The feature query straight from the dbt project, for callers that have no `dbt build` at hand."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.extensions import copy_extensions
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake

__all__ = ["compile_features"]


def compile_features(project: Path, home: Home, use_case: str) -> FeatureQuery:
    """Run `dbt compile` on the use case's features (about 6 s on an idle machine, mostly dbt's own imports).

    It needs a lake to connect to, not its tables. Inside a Dagster run take the manifest of `dbt build` instead.
    Raises LakeError with dbt's own words if the project does not compile.
    """
    Lake.at(home).create()
    copy_extensions(home.extensions)
    with TemporaryDirectory() as target:
        where = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", target]
        what = ["--select", f"{use_case}_features", "--no-populate-cache", "--log-path", target]
        done = subprocess.run(
            [sys.executable, "-m", "dbt.cli.main", "--quiet", "compile", *what, *where],
            cwd=project,
            env={**os.environ, **home.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LakeError(f"dbt cannot compile {use_case}_features in {project}: {done.stdout}{done.stderr}")
        return FeatureQuery.from_manifest(Path(target) / "manifest.json", use_case)
