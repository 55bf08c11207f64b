"""The real command on a home of its own: within this process where it only asks, as a process where it does much."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlplatform.cli import main

Ask = Callable[..., Result]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def empty_home(tmp_path: Path) -> Path:
    return tmp_path / "empty"


@pytest.fixture
def ask(empty_home: Path) -> Iterator[Ask]:
    """A command within this process, on a home that does not exist yet; it may set variables only for itself."""
    before = dict(os.environ)
    os.environ["MLPLATFORM_HOME"] = str(empty_home)
    yield lambda *arguments: CliRunner().invoke(main, arguments)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A command as a process; all of them share one home."""
    home = tmp_path_factory.mktemp("cli") / "home"

    def started(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", "from mlplatform.cli import main; main()", *arguments]
        environment = os.environ | {"MLPLATFORM_HOME": str(home)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return started
