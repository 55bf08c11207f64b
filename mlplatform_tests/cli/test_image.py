from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlplatform.cli.main import main
from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform_tests.serving.conftest import write_bundle

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]


def image(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["image", *arguments])


def deploy(home: Home) -> str:
    built = build_bento(write_bundle(home.root / "v1", "1"), "fraud", 1, home=home)
    write_pointer(home.deployment("fraud"), Pointer("fraud", built.tag, "1", str(built.bundle), "2018-08-01T00:00:00"))
    return built.tag


def test_the_recipe_of_what_is_deployed_is_written_where_it_is_wanted(home: Home, tmp_path: Path) -> None:
    tag, out = deploy(home), tmp_path / "out"
    said = image("fraud", "--out", str(out), "--image", "registry.example/shop/fraud:7", "--with", "aws")

    assert said.exit_code == 0, said.output
    assert said.output.startswith(f"{tag}: ")
    assert {path.name for path in out.iterdir()} == {
        *("Containerfile", "Containerfile.lambda", "app", "requirements.txt"),
        *("cloudrun.yaml", "knative.yaml", "kubernetes.yaml"),
    }
    assert "image: registry.example/shop/fraud:7" in (out / "knative.yaml").read_text()
    assert "mangum==" in (out / "requirements.txt").read_text()
    again = image("fraud", "--out", str(out))
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_without_a_deployment_it_says_what_to_do_first(home: Home, tmp_path: Path) -> None:
    said = image("fraud", "--out", str(tmp_path / "out"))

    assert said.exit_code == 1
    assert "nothing is deployed for fraud yet; run `mlplatform run fraud` first" in said.output
