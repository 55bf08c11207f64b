"""`dg scaffold defs mlplatform.components.UseCase`, in the project that docs/newcomer.md shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlplatform.spec import load_declaration
from mlplatform_tests.scaffold.conftest import as_text, customers

PAGE = Path(__file__).parents[2] / "docs" / "newcomer.md"
[PROJECT] = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "use_cases").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "data.csv").write_text(as_text(customers()), encoding="utf-8")
    return folder


def shell(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "MLPLATFORM_HOME": str(project / ".mlplatform")}
    environment.pop("MLPLATFORM_PROJECT", None)
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def scaffold(project: Path, *options: str, name: str = "shoppers") -> subprocess.CompletedProcess[str]:
    return shell(project, "dg", "scaffold", "defs", "mlplatform.components.UseCase", name, *options)


def test_it_makes_a_folder_that_loads_and_runs_like_that_of_the_command(project: Path) -> None:
    done = scaffold(project, "--data", str(project / "data.csv"), "--target", "wanted")
    assert done.returncode == 0, done.stdout + done.stderr
    spec = load_declaration("shoppers", project / "use_cases").spec
    assert "visits" in spec.training.features
    again = scaffold(project, "--data", str(project / "data.csv"), "--target", "wanted")
    assert again.returncode != 0
    loaded = shell(project, "dg", "check", "defs")
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    run = shell(project, "mlplatform", "run", "shoppers", "--select", "key:shoppers/raw_records")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "300 rows kept" in run.stdout


def test_without_data_it_stands_on_rows_that_are_made_up(project: Path) -> None:
    done = scaffold(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_declaration("shoppers", project / "use_cases").spec.training.task.kind == "binary"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Bad-Name", [], "cannot be the name of a use case"),
        ("order", [], "a word of SQL"),
        ("sub/deep", [], "lies deeper than use_cases/<name>"),
        ("shoppers", ["--target", "wanted"], "--target speaks of data that no --data names"),
        ("shoppers", ["--data", "data.csv"], "say with --target"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(project: Path, name: str, options: list[str], said: str) -> None:
    done = scaffold(project, *options, name=name)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list((project / "use_cases").iterdir()) == []
