"""The version of what makes a stage's result: the code it runs and what the use case declares for it.

Dagster compares it with the one a materialisation was made with, and marks an asset whose code or declaration was
edited since, with everything after it.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

__all__ = ["code_version"]

_PACKAGE = Path(__file__).parent.parent
_Fields = set[str] | dict[str, Any]


def code_version(
    *code: str | Path, declared: BaseModel | Sequence[BaseModel] = (), without: _Fields | None = None
) -> str:
    """Twelve hexadecimal digits of SHA-256.

    Args:
        code: files or folders of Python code, as paths or as names below the package (`ml`, `stages/raw.py`).
        declared: the part, or parts, of the declaration that the stage reads.
        without: names of the fields of `declared` that the stage does not read; a mapping also names fields of fields.
    """
    parts = [declared] if isinstance(declared, BaseModel) else declared
    digest = hashlib.sha256(repr([part.model_dump(exclude=without) for part in parts]).encode())
    for part in code:
        digest.update(_hash(_PACKAGE / part))
    return digest.hexdigest()[:12]


@cache
def _hash(path: Path) -> bytes:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.digest()
