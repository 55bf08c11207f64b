"""An image without an engine: a folder with exactly the files that its Containerfile would copy, and nothing else."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx

from mlplatform.home import Home
from mlplatform.serving.build import BuiltBento, build_bento
from mlplatform.serving.bundle import write_manifest
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.recipe.write import write_recipe
from mlplatform.serving.segments import segments
from mlplatform_tests.serving.conftest import FEATURES, write_bundle

# Without site-packages: what is not in PYTHONPATH is not there.
PYTHON = (sys._base_executable, "-S")  # type: ignore[attr-defined]
SECONDS = 60


@dataclass(frozen=True)
class ImageTree:
    """`packages` is what PYTHONPATH names, `source` the working folder."""

    folder: Path

    @property
    def packages(self) -> Path:
        return self.folder / "packages"

    @property
    def source(self) -> Path:
        return self.folder / "context" / "app" / "src"

    @property
    def environment(self) -> dict[str, str]:
        """The image's own, nothing of this process's."""
        return {"PATH": os.defpath, "PYTHONPATH": str(self.packages), "PYTHONDONTWRITEBYTECODE": "1"}


def journalling_bento(home: Home) -> BuiltBento:
    """The small model, with a journal where the service names a folder."""
    folder = write_bundle(home.root / "v1", "1")
    JournalSettings(enabled=True, columns=FEATURES).save(folder)
    write_manifest(folder, "fraud", "1")
    return build_bento(folder, "fraud", 1, home=home)


def journalled(folder: Path) -> list[dict[str, Any]]:
    """All lines of a journal."""
    return [json.loads(line) for segment in segments(folder) for _, line in segment.lines(0, 1 << 20)[0]]


def write_image_tree(bento: Path, folder: Path, extras: Sequence[str] = ()) -> ImageTree:
    """The recipe of a bento, and the packages that it lists, copied from where they are installed here."""
    tree = ImageTree(folder)
    write_recipe(bento, folder / "context", extras=extras)
    lines = (folder / "context" / "requirements.txt").read_text().splitlines()
    copy_packages((line.partition("==")[0] for line in lines if "==" in line), tree.packages)
    compile_all(tree.packages, tree.source)
    return tree


def copy_packages(names: Iterable[str], folder: Path) -> None:
    for name in names:
        found = distribution(name)
        for file in found.files or ():
            if ".." in file.parts or "__pycache__" in file.parts:
                continue
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.locate_file(file), target)  # type: ignore[arg-type]


def compile_all(*folders: Path) -> None:
    for folder in folders:
        command = [*PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
        subprocess.run(command, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def slim(
    tree: ImageTree,
    port: int,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    before: Sequence[str] = (),
) -> Iterator["subprocess.Popen[str]"]:
    """The image's own command, ready; ended at the end. `before`: words in front of it."""
    process = subprocess.Popen(
        [*before, *PYTHON, "-m", "mlplatform.serving.slim", *arguments],
        cwd=tree.source,
        env={**tree.environment, "PORT": str(port), **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_ready(process, port)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


def wait_until_ready(process: "subprocess.Popen[str]", port: int) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode}: {process.communicate()[1]}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError("not ready in time")
