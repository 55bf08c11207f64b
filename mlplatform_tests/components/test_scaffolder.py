"""`dg scaffold defs mlplatform.components.UseCase`, in a Dagster project that is not ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlplatform.spec import load_declaration
from mlplatform_tests.scaffold.conftest import as_text, customers

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shop"
version = "0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shop"
defs_module = "shop.defs"
registry_modules = ["mlplatform.components"]
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for package in ("shop", "shop/defs"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "data.csv").write_text(as_text(customers()), encoding="utf-8")
    return folder


def scaffold(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONWARNINGS": "ignore"}
    command = [str(Path(sys.executable).parent / "dg"), "scaffold", "defs", "mlplatform.components.UseCase", "shoppers"]
    return subprocess.run(
        [*command, *options], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def test_it_makes_the_same_folder_as_the_command_does(project: Path) -> None:
    done = scaffold(project, "--data", str(project / "data.csv"), "--target", "wanted")
    assert done.returncode == 0, done.stdout + done.stderr
    spec = load_declaration("shoppers", project / "shop" / "defs").spec
    assert "visits" in spec.training.features
    again = scaffold(project, "--data", str(project / "data.csv"), "--target", "wanted")
    assert again.returncode != 0


def test_without_data_it_stands_on_rows_that_are_made_up(project: Path) -> None:
    done = scaffold(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_declaration("shoppers", project / "shop" / "defs").spec.training.task.kind == "binary"
