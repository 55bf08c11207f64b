"""Read a declaration from its folder, without Dagster: for the command line, the service and the tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mlplatform.errors import SpecError
from mlplatform.project import PACKAGE, use_cases_folder
from mlplatform.spec.use_case import UseCase

__all__ = ["USE_CASES", "Declaration", "declared_use_cases", "load_declaration"]

USE_CASES = PACKAGE / "use_cases"
"""Those that come with the platform."""


@dataclass(frozen=True)
class Declaration:
    """A use case and the folder that declares it (its Python files lie beside defs.yaml)."""

    spec: UseCase
    folder: Path


def declared_use_cases(folder: Path | None = None) -> list[str]:
    """The names of the folders that hold a defs.yaml, sorted; by default those of the project in use."""
    return sorted(path.parent.name for path in (folder or use_cases_folder()).glob("*/defs.yaml"))


def load_declaration(name: str, folder: Path | None = None) -> Declaration:
    """The declaration in `folder/name/defs.yaml`; by default that of the project in use.

    Raises:
        SpecError: no such use case, or a field is wrong; names the file, the line and the allowed values.
    """
    folder = folder or use_cases_folder()
    path = folder / name / "defs.yaml"
    if not path.exists():
        known = ", ".join(declared_use_cases(folder)) or "none; make one: mlplatform new"
        raise SpecError(f"there is no use case {name!r} ({path} does not exist); declared: {known}")
    text = path.read_text(encoding="utf-8")
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or "attributes" not in content:
        raise SpecError(f"{path} must hold `type: mlplatform.components.UseCase` and `attributes:`")
    try:
        return Declaration(UseCase.model_validate(content["attributes"]), path.parent)
    except ValidationError as error:
        raise SpecError(_readable(error, path, text)) from error


def _readable(error: ValidationError, path: Path, text: str) -> str:
    tree = yaml.compose(text)
    lines = [
        f"{path}:{_line(tree, ('attributes', *problem['loc']))}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        for problem in error.errors()
    ]
    return "\n".join(lines)


def _line(node: yaml.Node | None, loc: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `loc` that the file has (a missing field is its parent's line)."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in loc:
        found = _child(node, part)
        if found is None:
            # The tag of a discriminated union stands in `loc` but not in the file.
            continue
        node, line = found, found.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]  # type: ignore[no-any-return]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None
