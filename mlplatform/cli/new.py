"""`mlplatform new`: from a table to a use case that runs."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mlplatform.errors import ScaffoldError
from mlplatform.project import OWN_FOLDER, checkout_folder, own_project, use_cases_folder
from mlplatform.scaffold.choose import Wishes

__all__ = ["Asked", "new_use_case", "use_case_folder"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = {"use_cases", "raw", "lake", "main", "quarantine", "information_schema", "pg_catalog", "temp", "system"}


@dataclass(frozen=True)
class Asked:
    """What was said on the command line."""

    name: str
    origin: str
    table: str | None
    wishes: Wishes
    only_look: bool = False


def new_use_case(asked: Asked) -> None:
    """Look, choose, write, tell.

    Raises:
        ScaffoldError: the name is taken or illegal, the data cannot be read or learned from.
    """
    from mlplatform.scaffold.report import report

    folder = use_case_folder(asked.name)
    plan = _planned(asked, folder)
    if not asked.only_look:
        from mlplatform.scaffold.write import write_use_case

        write_use_case(plan, folder)
    shown = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    click.echo(report(plan, None if asked.only_look else shown))


def use_case_folder(name: str) -> Path:
    """Where a new use case goes: to those of the project in use; in an empty folder it begins a project.

    Raises ScaffoldError for a name that cannot be one.
    """
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise ScaffoldError(
            f"{name!r} cannot be the name of a use case: lower-case letters, digits and _, beginning with a letter, at "
            "most 40; it becomes a schema in the lake, a model, a service"
        )
    if name in _RESERVED or name.startswith(("raw_", "pg_")):
        raise ScaffoldError(f"{name!r} is a name that the platform or the lake uses itself; choose another")
    if own_project() is None and checkout_folder() is None:
        return Path.cwd() / OWN_FOLDER / name
    return use_cases_folder() / name


def _planned(asked: Asked, folder: Path) -> Any:
    from mlplatform.scaffold.choose import choose
    from mlplatform.scaffold.look import look
    from mlplatform.scaffold.open_rows import opened_rows
    from mlplatform.scaffold.origin import parse_origin
    from mlplatform.scaffold.write import require_absent

    if not asked.only_look:
        require_absent(folder)
    origin = parse_origin(asked.origin, asked.table, asked.name)
    with opened_rows(origin) as con:
        return choose(con, look(con), asked.name, origin, asked.wishes)
