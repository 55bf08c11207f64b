"""Every test has a home of its own; nothing is written to the checkout."""

import shutil
from pathlib import Path

import pytest

from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home
from mlplatform.lake.lake import Lake


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, value in Home(tmp_path / "home").environment().items():
        monkeypatch.setenv(name, value)
    return Home.current()


@pytest.fixture(scope="session")
def dbt_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's manifest, parsed once for all tests: it says nothing of a home, and takes ten seconds."""
    from mlplatform.resources.dbt import manifest

    home = Home(tmp_path_factory.mktemp("dbt"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment().items():
            patch.setenv(name, value)
        return manifest(home)


@pytest.fixture
def prepared(home: Home, dbt_manifest: Path) -> Home:
    """A home as `mlplatform setup` leaves it."""
    prepare_home(home)
    target = home.dbt / "target"
    target.mkdir(parents=True)
    shutil.copyfile(dbt_manifest, target / "manifest.json")
    return home


@pytest.fixture
def lake(home: Home) -> Lake:
    lake = Lake.at(home)
    lake.create()
    return lake
