"""Secrets stand in environment variables that the declaration names."""

import os

from mlplatform.errors import SourceError

__all__ = ["secret"]


def secret(source: str, variable: str) -> str:
    """The value of an environment variable. Raises SourceError when it is not set."""
    given = os.environ.get(variable, "").strip()
    if not given:
        raise SourceError(
            f"source `{source}`: the environment variable {variable} is not set. Set it where mlplatform runs."
        )
    return given
