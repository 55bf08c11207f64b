"""`mlplatform accept-skew`: answers that were made of other features are known, and block no promotion any more."""

import getpass

import click

from mlplatform.cli.reason import require_reason
from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import load_declaration

__all__ = ["accept_use_case_skew"]


def accept_use_case_skew(name: str, reason: str) -> None:
    """Accept the skew of all answers up to now; later ones count again.

    Raises:
        SpecError: there is no such use case, or no reason.
    """
    from mlplatform.stages.skew_block import accept_skew, open_skew

    require_reason(reason)
    home = Home.current()
    prepare_home(home)
    uc, lake = load_declaration(name), Lake.at(home)
    found = open_skew(uc, lake)
    if found is None:
        click.echo(f"{name}: no skew is open")
        return
    until = accept_skew(uc, lake, reason, by=getpass.getuser())
    click.echo(
        f"{name}: {found.values} values of {found.columns}, and whatever else was answered until "
        f"{until:%Y-%m-%d %H:%M} UTC, block no promotion any more"
    )
