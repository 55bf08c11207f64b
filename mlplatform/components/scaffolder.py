"""`dg scaffold defs mlplatform.components.UseCase <name>`: what `mlplatform new` makes, the Dagster way."""

import csv
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg
from pydantic import BaseModel, Field

from mlplatform.errors import PlatformError, ScaffoldError
from mlplatform.project import OWN_FOLDER
from mlplatform.scaffold.wishes import Wishes

__all__ = ["UseCaseScaffoldParams", "UseCaseScaffolder"]

_SAMPLE_ROWS = 400


class UseCaseScaffoldParams(BaseModel):
    """What `mlplatform new` is told. Without `data` the skeleton stands on a few rows that are made up."""

    data: str | None = Field(default=None, description="A CSV or Parquet file, postgresql://..., or a database file.")
    target: str | None = Field(default=None, description="Column that is to be predicted.")
    table: str | None = Field(default=None, description="Of a database: name or schema.name.")
    time: str | None = Field(default=None, description="Column that says when a row happened.")
    entity: str | None = Field(default=None, description="Column that says whose row it is.")
    task: str | None = Field(default=None, description="binary, multiclass or regression; default: guessed.")


class UseCaseScaffolder(dg.Scaffolder[UseCaseScaffoldParams]):
    """Looks at the data and writes declaration, contract and dbt models."""

    @classmethod
    def get_scaffold_params(cls) -> type[UseCaseScaffoldParams]:
        """Each field becomes an option of `dg scaffold`."""
        return UseCaseScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[UseCaseScaffoldParams]) -> None:
        """Write the folder that dg has made, and tell what was found.

        Raises click.ClickException with the platform's own words, as `mlplatform new` says them.
        """
        from mlplatform.scaffold.make import make_use_case, require_name
        from mlplatform.scaffold.report import report

        folder, params = request.target_path, request.params
        try:
            _require_fresh(request)
            require_name(folder.name)
            with _data(folder, params) as (data, target):
                wishes = Wishes.model_validate({**params.model_dump(exclude={"data", "table"}), "target": target})
                now = datetime.now(UTC).replace(tzinfo=None)
                click.echo(report(make_use_case(folder, data, params.table, wishes, now), folder))
        except PlatformError as error:
            _remove_empty(folder)
            raise click.ClickException(str(error)) from error


def _remove_empty(folder: Path) -> None:
    """What dg has made: the folder, and those above it that hold nothing else. That of all use cases stays."""
    while folder.name != OWN_FOLDER and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _require_fresh(request: dg.ScaffoldRequest[UseCaseScaffoldParams]) -> None:
    if request.append or request.scaffold_format != "yaml":
        raise ScaffoldError("a use case is a folder of its own with a defs.yaml: leave out the format and what appends")
    folder = request.target_path
    if folder.parent.name != OWN_FOLDER:
        raise ScaffoldError(
            f"{folder} lies deeper than {OWN_FOLDER}/<name>, where the platform looks for use cases; give it a name "
            "without folders"
        )
    if any(folder.iterdir()):
        raise ScaffoldError(f"{folder} is there already and nothing was changed; choose another name, or move it away")
    # dg has made it; it appears anew, whole.
    folder.rmdir()


@contextmanager
def _data(folder: Path, params: UseCaseScaffoldParams) -> Iterator[tuple[str, str]]:
    """The data and its target: what was named, or rows that are made up; they vanish where nothing comes of them."""
    if params.data is not None:
        if params.target is None:
            raise ScaffoldError("say with --target which column of the data is to be predicted")
        yield params.data, params.target
        return
    if said := [f"--{name}" for name in params.model_fields_set if getattr(params, name) is not None]:
        raise ScaffoldError(
            f"{', '.join(sorted(said))} speaks of data that no --data names; name it, or leave that out for rows that "
            "are made up"
        )
    sample = _sample(folder)
    try:
        yield str(sample), "wanted"
    except BaseException:
        sample.unlink()
        raise


def _sample(folder: Path) -> Path:
    """Rows that are made up, beside the folders of the use cases: something that runs until your own are named."""
    path = folder.parent / f"{folder.name}-sample.csv"
    if path.exists():
        raise ScaffoldError(f"{path} is there already; name your data with --data and --target, or move it away")
    draw = random.Random(7)  # noqa: S311 - an example, not a secret
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "visits", "spent", "channel", "wanted"])
        for customer in range(1, _SAMPLE_ROWS + 1):
            visits, channel = draw.randint(0, 20), draw.choice(["shop", "web", "phone"])
            spent = round(draw.gammavariate(2, 30), 2)
            wanted = draw.random() < 0.1 + 0.03 * visits + (0.2 if channel == "web" else 0)
            rows.writerow([customer, visits, spent, channel, "yes" if wanted else "no"])
    return path
