"""What a bundle carries of the declaration beside the model: a dataclass each, as a JSON file of its own."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlplatform.errors import ArtifactError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["load_settings", "save_settings"]

T = TypeVar("T")


def save_settings(file: Path, settings: "DataclassInstance") -> None:
    """Write them as `load_settings` reads them."""
    file.write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")


def load_settings(file: Path, what: str, made: Callable[[dict[str, Any]], T]) -> T:
    """`made` of what the file holds. `what` it should be, for people.

    Raises:
        ArtifactError: the file cannot be read, or `made` of it raised one of Python's own errors.
    """
    try:
        return made(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtifactError(f"{file}: not {what} ({error}); build the bundle again") from error
