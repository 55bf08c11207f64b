"""One export for every test that only reads it."""

from pathlib import Path

import pytest

from mlplatform.serving.edge.pack import EdgeBundle, pack_edge
from mlplatform_tests.serving.edge.bare import make_bare_python


@pytest.fixture(scope="session")
def exported(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> EdgeBundle:
    return pack_edge(sealed, "fraud:v1", tmp_path_factory.mktemp("edge") / "fraud")


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bare_python(tmp_path_factory.mktemp("bare"))
