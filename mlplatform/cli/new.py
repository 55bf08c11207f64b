"""`mlplatform new`: from a table to a use case that runs."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from mlplatform.project import OWN_FOLDER, checkout_folder, own_project, use_cases_folder
from mlplatform.scaffold.wishes import Wishes

__all__ = ["Asked", "new_use_case", "use_case_folder"]


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
        ScaffoldError: the name is taken or illegal, or nothing can be learned from the data as it is.
        SourceError: the data cannot be read.
    """
    from mlplatform.scaffold.make import make_use_case, planned, require_name
    from mlplatform.scaffold.report import report

    require_name(asked.name)
    now = datetime.now(UTC).replace(tzinfo=None)
    if asked.only_look:
        click.echo(report(planned(asked.name, asked.origin, asked.table, asked.wishes, now), None))
        return
    folder = use_case_folder(asked.name)
    plan = make_use_case(folder, asked.origin, asked.table, asked.wishes, now)
    shown = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    click.echo(report(plan, shown))


def use_case_folder(name: str) -> Path:
    """Where a new use case goes: to those of the project in use; in any other folder it begins a project."""
    if own_project() is None and checkout_folder() is None:
        return Path.cwd() / OWN_FOLDER / name
    return use_cases_folder() / name
