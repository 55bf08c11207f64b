"""Which source files of the platform a bento needs: everything that its service imports, however deep, and no more."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import mlplatform

__all__ = ["source_closure"]

PACKAGE = "mlplatform"


def source_closure(module: str) -> dict[str, Path]:
    """Modules of the platform that `module` imports, itself and the packages around them included.

    Returns path inside the bento (e.g. "mlplatform/errors.py") -> file. Imports inside functions count; imports that
    only type checkers follow do not.
    """
    root = Path(mlplatform.__file__).resolve().parents[1]
    pending, found = [module], {}
    while pending:
        name = pending.pop()
        path = None if name in found else _source(name)
        if path is None:
            continue
        found[name] = path
        pending += [name.rpartition(".")[0], *_imports(path)]
    return {path.relative_to(root).as_posix(): path for path in found.values()}


def _source(name: str) -> Path | None:
    if name != PACKAGE and not name.startswith(f"{PACKAGE}."):
        return None
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:  # `from package import name`: a name, not a module
        return None
    return Path(spec.origin).resolve() if spec and spec.origin else None


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
