"""Which source files of the platform a bento needs: everything that its service imports, however deep, and no more."""

import ast
from collections.abc import Iterator
from pathlib import Path

import mlplatform

__all__ = ["ROOT", "source_closure"]

PACKAGE = "mlplatform"
ROOT = Path(mlplatform.__file__).resolve().parents[1]
"""Of the source: the folder that holds the package."""


def source_closure(*modules: str) -> dict[str, Path]:
    """Modules of the platform that `modules` import, themselves and the packages around them included.

    Returns path inside the bento (e.g. "mlplatform/errors.py") -> file. Imports inside functions count; imports that
    only type checkers follow do not.
    """
    pending: list[str] = [*modules]
    found: dict[str, Path] = {}
    while pending:
        name = pending.pop()
        path = None if name in found else _source(name)
        if path is None:
            continue
        found[name] = path
        pending += [name.rpartition(".")[0], *_imports(path)]
    return {path.relative_to(ROOT).as_posix(): path for path in found.values()}


def _source(name: str) -> Path | None:
    """The file of a module of the platform; None for other modules, and for names that are no modules.

    Looks at files only: asking the import system would import the packages around each name, LightGBM among them.
    """
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    place = ROOT.joinpath(*parts)
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    for node in _executed(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _executed(child)
