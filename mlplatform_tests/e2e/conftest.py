"""A home that all tests of a file share: they tell one story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Home]:
    """Prepared, and the home of this process until the file is done."""
    name = Path(str(request.fspath)).stem.removeprefix("test_")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in Home(tmp_path_factory.mktemp(name)).environment().items():
            patch.setenv(variable, value)
        home = Home.current()
        prepare_home(home)
        yield home
