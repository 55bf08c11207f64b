"""`mlplatform keys`: make, list and revoke the API keys of a use case."""

import time

import click

from mlplatform.home import Home
from mlplatform.serving.api_keys import create_key, load_keys, revoke_key
from mlplatform.spec import load_declaration

__all__ = ["create", "revoke", "show"]


def create(use_case: str, name: str, days: float | None) -> None:
    """Print a new key on standard output, alone, so that a script can take it; all else on standard error.

    Raises:
        PlatformError: there is no such use case, or the name is taken.
    """
    load_declaration(use_case)
    file = Home.current().api_keys(use_case)
    first = not file.exists()
    key = create_key(file, name, days)
    click.echo(f"The key {name} of {use_case}; it is shown this once, only its hash is kept ({file}):", err=True)
    click.echo(key)
    if first:
        click.echo(f"Services of {use_case} that run already still ask for none: start them again.", err=True)


def show(use_case: str) -> None:
    """One line for each key.

    Raises:
        PlatformError: there is no such use case, or its file cannot be read.
    """
    load_declaration(use_case)
    file = Home.current().api_keys(use_case)
    if not file.exists():
        click.echo(f"{use_case} has no keys; its services answer on loopback only, and anybody there")
        return
    for key in load_keys(file):
        until = "until revoked" if key.expires is None else f"until {key.expires}"
        over = click.style(" (over)", fg="yellow") if key.expires_at <= time.time() else ""
        click.echo(f"{key.name:<24} made {key.created}  valid {until}{over}")


def revoke(use_case: str, name: str) -> None:
    """Remove a key. The last one gone, services that ask for keys let in nobody.

    Raises:
        PlatformError: there is no such use case or key.
    """
    load_declaration(use_case)
    file = Home.current().api_keys(use_case)
    revoke_key(file, name)
    left = len(load_keys(file))
    click.echo(f"{name} is not valid any more; {left} left" + ("" if left else ", so nobody is let in"))
