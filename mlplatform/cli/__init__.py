"""The mlplatform command."""

from mlplatform.cli.main import main

__all__ = ["main"]
