"""Which dbt project is built: the platform's own, or one that also holds the models of folders outside of it.

A use case that lies in one folder keeps its SQL in `models/` beside its defs.yaml. dbt reads one project folder and
writes compiled text under the same relative paths, so that models cannot be named by paths that lead out of it: the
project is put together below the home, of links to the platform's macros and to each use case's models.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from mlplatform.home import Home
from mlplatform.project import own_project, use_cases_folder

__all__ = ["DBT_PROJECT", "MODELS", "dbt_project"]

_PACKAGE = Path(__file__).parent.parent
# A wheel carries the project inside the package; a checkout has it at the top.
DBT_PROJECT = next(
    (p for p in (_PACKAGE / "_dbt_project", _PACKAGE.parent / "dbt_project") if p.is_dir()), _PACKAGE / "_dbt_project"
)
MODELS = "models"
"""The folder of a use case's dbt models beside its defs.yaml."""
_SETTINGS = "dbt_project.yml"


def dbt_project(home: Home) -> Path:
    """The folder of the dbt project in use; put together anew where a use case brings models of its own."""
    beside = {folder.parent.name: folder for folder in sorted(use_cases_folder().glob(f"*/{MODELS}"))}
    if own_project() is None and not beside:
        return DBT_PROJECT
    project = home.dbt / "project"
    project.mkdir(parents=True, exist_ok=True)
    with FileLock(home.dbt / "project.lock"):
        _link(project, dict(_files(beside)))
        _write(project / _SETTINGS, _settings(list(beside)))
    return project


def _files(beside: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    """Path in the project -> the file that stands there."""
    parts = {"macros": DBT_PROJECT / "macros", **{f"models/{name}": folder for name, folder in beside.items()}}
    if own_project() is None:
        parts = {"models": DBT_PROJECT / "models", **parts}
    for place, folder in parts.items():
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield f"{place}/{file.relative_to(folder)}", file.resolve()


def _link(project: Path, wanted: Mapping[str, Path]) -> None:
    """Links for all that is wanted, and for nothing else."""
    there = {str(path.relative_to(project)): path for path in project.rglob("*") if path.is_symlink()}
    for place in there.keys() - wanted.keys():
        there[place].unlink()
    for place, file in wanted.items():
        link = project / place
        if place in there and link.readlink() == file:
            continue
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)


def _settings(names: list[str]) -> str:
    """The platform's settings; in a project of one's own without what is said there of other use cases."""
    settings: dict[str, Any] = yaml.safe_load((DBT_PROJECT / _SETTINGS).read_text(encoding="utf-8"))
    models = settings["models"]["mlplatform"]
    if own_project() is not None:
        settings.pop("vars", None)
        models = {"+materialized": models["+materialized"]}
    settings["models"] = {"mlplatform": models | {name: {"+tags": [name]} for name in names}}
    return yaml.safe_dump(settings, sort_keys=False)


def _write(path: Path, text: str) -> None:
    """Only a change is written: a newer file would be parsed again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
