"""Where declarations lie: in a project folder of one's own, else in the platform's package.

A project of one's own is the nearest folder, from the working folder upwards, that holds `use_cases/<name>/defs.yaml`;
`mlplatform new` makes it. A checkout of the platform is no such project: its use cases lie inside the package.
"""

import os
from pathlib import Path

__all__ = ["OWN_FOLDER", "PACKAGE", "checkout_folder", "own_project", "project_environment", "use_cases_folder"]

PACKAGE = Path(__file__).resolve().parent
OWN_FOLDER = "use_cases"
_VARIABLE = "MLPLATFORM_PROJECT"


def own_project() -> Path | None:
    """The project of one's own that this process works in: MLPLATFORM_PROJECT, else found from the working folder."""
    if named := os.environ.get(_VARIABLE):
        return Path(named).expanduser().resolve()
    for folder in (Path.cwd(), *Path.cwd().parents):
        if _is_checkout(folder):
            return None
        if folder != PACKAGE and any((folder / OWN_FOLDER).glob("*/defs.yaml")):
            return folder
    return None


def checkout_folder() -> Path | None:
    """The checkout of the platform that the working folder lies in."""
    return next((folder for folder in (Path.cwd(), *Path.cwd().parents) if _is_checkout(folder)), None)


def use_cases_folder() -> Path:
    """The folder whose folders are the use cases: that of one's own project, else the platform's."""
    own = own_project()
    return PACKAGE / "use_cases" if own is None else own / OWN_FOLDER


def project_environment() -> dict[str, str]:
    """Variables that let other processes, wherever they are started, work in the same project."""
    own = own_project()
    return {} if own is None else {_VARIABLE: str(own)}


def _is_checkout(folder: Path) -> bool:
    return (folder / "workspace.yaml").exists() and (folder / "mlplatform").is_dir()
