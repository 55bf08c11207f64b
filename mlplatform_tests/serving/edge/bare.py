"""A Python that has nothing but what a device needs, and the runner in it."""

import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

__all__ = ["make_bare_python", "run_runner"]

NEEDED = ("numpy", "onnxruntime")


def make_bare_python(folder: Path) -> Path:
    """A virtual environment whose packages are the two of NEEDED, those installed here."""
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in NEEDED:
        for root in {Path(str(file)).parts[0] for file in distribution(name).files or []}:
            source = Path(str(distribution(name).locate_file(root)))
            if source.is_dir() and not root.startswith(".."):
                (packages / root).symlink_to(source)
    return folder / "bin" / "python"


def run_runner(
    python: Path, folder: Path, rows: str, arguments: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """Isolated: no variable of this process, no folder but the bundle's."""
    assert str(python) != sys.executable
    command = [str(python), "-I", str(folder / "runner.py"), *arguments]
    return subprocess.run(command, input=rows, capture_output=True, text=True, check=False, cwd="/")
