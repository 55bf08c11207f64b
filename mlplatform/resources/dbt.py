"""dbt: where the project lies, its manifest, and the resource that runs it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from packaging.version import Version

from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.lake.extensions import copy_extensions
from mlplatform.lake.lake import Lake
from mlplatform.resources.dbt_project import DBT_PROJECT, dbt_project

_PARSED = "partial_parse.msgpack"
"""What dbt keeps of the last parse, to parse only what has changed."""

if TYPE_CHECKING:
    from mlplatform.lake.feature_query import FeatureQuery

__all__ = [
    "build_models",
    "compile_features",
    "dbt_environment",
    "dbt_resource",
    "manifest",
    "parse_ahead",
]


def dbt_environment(home: Home) -> dict[str, str]:
    """What dbt needs to find the lake and to keep its own files below the home."""
    return {
        **home.environment(),
        "DBT_PROJECT_DIR": str(dbt_project(home)),
        "DBT_PROFILES_DIR": str(DBT_PROJECT),
        "DBT_TARGET_PATH": str(home.dbt / "target"),
        "DBT_LOG_PATH": str(home.dbt / "logs"),
    }


def dbt_resource() -> Any:
    """Dagster's dbt resource on this home."""
    from dagster_dbt import DbtCliResource

    class Dbt(DbtCliResource):
        @cached_property
        def _cli_version(self) -> Version:
            # The resource runs `dbt --version` before each command: 4 s, and it asks the package index for news. The
            # executable is that of this very environment, whose packages are known without it.
            return Version(version("dbt-core"))

        def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
            # A second dbt inside this process (4 s), only for `fetch_row_counts` and `fetch_column_metadata`: the lake
            # tells both.
            del args

    home = Home.current()
    os.environ.update(dbt_environment(home))
    return Dbt(project_dir=str(dbt_project(home)), profiles_dir=str(DBT_PROJECT), dbt_executable=_dbt_executable())


def manifest(home: Home) -> Path:
    """dbt's manifest, parsed again when a file of the project is newer (some seconds).

    Raises:
        PlatformError: dbt cannot parse the project; the message is dbt's own.
    """
    path = home.dbt / "target" / "manifest.json"
    project = dbt_project(home)
    if _is_current(path, project):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / "parse.lock"):
        if not _is_current(path, project):
            _parse(home, path.parent)
    return path


def _parse(home: Home, target: Path) -> None:
    """Beside, and then in its place: others read the manifest meanwhile, and half of one would be newer than its
    sources."""
    with TemporaryDirectory(dir=target.parent, prefix=".parse-") as beside:
        known = target / _PARSED
        if known.exists():
            shutil.copyfile(known, Path(beside) / _PARSED)
        _dbt(home, "parse", "--target-path", beside)
        for name in (_PARSED, "manifest.json"):
            made = Path(beside) / name
            if made.exists():
                made.replace(target / name)


def parse_ahead(home: Home) -> None:
    """Bring the manifest up to date in the background, for whoever asks `manifest` for it, and its errors, next."""
    worker = ThreadPoolExecutor(1)
    worker.submit(manifest, home)
    worker.shutdown(wait=False)


def _is_current(path: Path, project: Path) -> bool:
    if not path.exists():
        return False
    found = [p for kind in ("*.sql", "*.py", "*.yml", "*.md") for p in project.rglob(kind)]
    # A file that was taken away leaves its folder newer; below a home dbt itself writes nothing into the project.
    folders = [] if project == DBT_PROJECT else [project, *(p for p in project.rglob("*") if p.is_dir())]
    return all(source.stat().st_mtime <= path.stat().st_mtime for source in (*found, *folders))


def build_models(home: Home, use_case: str) -> None:
    """Build the models of a use case from the raw tables in the lake of a home, with their tests, beside Dagster.

    Raises:
        PlatformError: a model or a test fails; the message is dbt's own.
    """
    _dbt(home, "build", "--select", f"fqn:*.{use_case}.*")


def compile_features(home: Home, use_case: str) -> "FeatureQuery":
    """The feature query of the project as it is, without building anything (about 6 s, mostly dbt's own imports).

    Inside a Dagster run take the manifest of `dbt build` instead.

    Raises:
        PlatformError: dbt cannot compile the project; the message is dbt's own.
    """
    from mlplatform.lake.feature_query import FeatureQuery

    with TemporaryDirectory() as target:
        what = ["--select", f"{use_case}_features", "--no-populate-cache", "--target-path", target]
        _dbt(home, "compile", *what)
        return FeatureQuery.from_manifest(Path(target) / "manifest.json", use_case)


def _dbt(home: Home, command: str, *options: str) -> None:
    """Run one dbt command on a home that has at least an empty lake."""
    copy_extensions(home.extensions)
    Lake.at(home).create()
    project = dbt_project(home)
    done = subprocess.run(
        [_dbt_executable(), "--no-use-colors", command, *options],
        env=os.environ | dbt_environment(home),
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PlatformError(f"dbt cannot {command} {project}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def _dbt_executable() -> str:
    """The dbt of this very environment, also when its folder is not on the PATH."""
    beside = Path(sys.executable).parent / "dbt"
    return str(beside) if beside.exists() else "dbt"
