"""Every test has a home of its own; nothing is written to the checkout."""

from pathlib import Path

import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, value in Home(tmp_path / "home").environment().items():
        monkeypatch.setenv(name, value)
    return Home.current()


@pytest.fixture
def lake(home: Home) -> Lake:
    lake = Lake.at(home)
    lake.create()
    return lake
