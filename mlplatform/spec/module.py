"""Loads the Python files that stand beside a defs.yaml (`source.py`, `contract.py`), by their path."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from mlplatform.errors import SpecError

__all__ = ["load_module"]


def load_module(folder: Path, module: str, must_hold: str) -> ModuleType:
    """Runs `<folder>/<module>.py` and returns it. `must_hold` says in the error what the file is for.

    By path, because a use-case folder need not be an importable package. Raises SpecError when the file is missing or
    does not import.
    """
    path = folder.resolve() / f"{module}.py"
    if not path.is_file():
        raise SpecError(f"{path} does not exist. Create it; it must hold {must_hold}.")
    # Two use-case folders of one name (a test's, a copy's) must not share a module.
    name = f"mlplatform_use_case_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{module}"
    return _execute(name, path)


def _execute(name: str, path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise SpecError(f"{path} is not a Python file.")
    loaded = importlib.util.module_from_spec(found)
    sys.modules[name] = loaded  # dataclasses, pydantic and pandera look their own module up here
    try:
        found.loader.exec_module(loaded)
    except (ImportError, SyntaxError, NameError) as error:
        del sys.modules[name]
        raise SpecError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return loaded
