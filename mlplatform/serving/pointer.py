"""The pointer: a small file that says which bundle is live. Written whole or not at all; running services follow it."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlplatform.errors import ArtifactError
from mlplatform.serving.durable import sync_folder

__all__ = ["Pointer", "read_pointer", "write_document", "write_pointer"]


@dataclass(frozen=True)
class Pointer:
    """What is live. `path`: folder of the bundle; `bento`: its tag; `deployed_at`: ISO 8601, for people."""

    use_case: str
    bento: str
    version: str
    path: str
    deployed_at: str


def write_pointer(file: Path, pointer: Pointer) -> None:
    """Replace the pointer in one step."""
    write_document(file, asdict(pointer))


def write_document(file: Path, document: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step: a reader sees the old one or the new one, never a part, also after a crash."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(document, handle, indent=2)
            handle.flush()
            os.fsync(handle.fileno())
        written.replace(file)
    finally:
        written.unlink(missing_ok=True)
    sync_folder(file.parent)


def read_pointer(file: Path) -> Pointer:
    """Raises ArtifactError if the file is missing or is not a pointer."""
    try:
        document = json.loads(file.read_bytes())
        return Pointer(**{name: str(document[name]) for name in Pointer.__dataclass_fields__})
    except FileNotFoundError:
        raise ArtifactError(f"{file}: no such pointer; deploy the use case first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{file}: not a pointer ({error}); deploy the use case again") from error
