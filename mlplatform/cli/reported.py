"""The one place where an error becomes a message and an exit code."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlplatform.errors import PlatformError

__all__ = ["FILE", "reported"]

Command = Callable[..., int | None]
FILE = click.Path(dir_okay=False, path_type=Path)


def reported(command: Command) -> Callable[..., None]:
    """Expected errors end with their message, not with a traceback; the code says whether it went well."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except PlatformError as error:
            click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            # Dagster wraps what a declaration is refused with in errors of its own, with a tree of components.
            if (expected := _expected_cause(error)) is None:
                raise
            click.secho(f"{type(expected).__name__}: {expected}", fg="red", err=True)
            sys.exit(1)
        sys.exit(code or 0)

    return run


def _expected_cause(error: BaseException) -> PlatformError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, PlatformError):
        cause = cause.__cause__ or cause.__context__
    return cause
