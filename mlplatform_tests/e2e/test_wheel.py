"""The built wheel in an environment of its own, started from a folder that is not the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_the_wheel_carries_the_dbt_project_and_the_declarations(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "mlplatform/_dbt_project/dbt_project.yml" in names
    assert "mlplatform/_dbt_project/models/fraud/fraud_features.sql" in names
    assert "mlplatform/use_cases/fraud/defs.yaml" in names
    assert {"mlplatform/serving/web/page.html", "mlplatform/serving/web/static/page.js"} <= names
    assert {"mlplatform/serving/edge/runner.py", "mlplatform/serving/edge/runner.mjs"} <= names
    assert not any("target/" in name or name.startswith("mlplatform_tests") for name in names)


def test_definitions_load_from_the_wheel_in_another_folder(wheel: Path, tmp_path: Path) -> None:
    """The package's own dependencies are taken from this environment: installing 1.8 GB again would prove no more."""
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)],
        check=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import mlplatform, sys; from mlplatform.definitions import defs; "
        "print(mlplatform.__file__); print(len(defs().resolve_asset_graph().get_all_asset_keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "MLPLATFORM_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    place, assets = done.stdout.strip().splitlines()[-2:]
    assert place.startswith(str(site))
    lists = (CHECKOUT / "mlplatform_tests" / "golden").glob("*.txt")
    on_record = [line for each in lists for line in each.read_text().splitlines() if not line.startswith(" ")]
    assert int(assets) == len(on_record)
