import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.serving.build import BuiltBento, build_bento
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.web import WEB, web_files
from mlplatform_tests.serving.conftest import MakeBundle

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

PICKLE_SUFFIXES = {".pkl", ".pickle", ".joblib", ".cloudpickle", ".pt", ".npy", ".npz", ".bin"}
UNSAFE = {"pickle", "_pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve", "skops", "allow_pickle"}
UNSAFE |= {"eval()", "exec()", "compile()", "__import__()"}
PROTOCOL_2_OR_LATER = b"\x80"

# Runs inside the bento, with nothing of the checkout in reach.
SERVE_ONCE = """
import sys
from pathlib import Path
import mlplatform.serving.service as service
from mlplatform.serving.follow import load_live
live = load_live(service.BUNDLE, service.own_tag())
live.predict([live.example()], explain=True)
print(service.__file__)
print(live.bento)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
TRAINING_ONLY = {"dagster", "mlflow", "optuna", "pandera", "evidently", "dbt", "duckdb", "shap", "torch", "keras"}


@pytest.fixture(scope="module")
def built(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltBento:
    return build_bento(sealed, "fraud", 1, {"run": "17"}, Home(tmp_path_factory.mktemp("home")))


def test_a_bento_carries_tag_labels_and_a_bundle_that_loads(built: BuiltBento) -> None:
    text = (built.path / "bento.yaml").read_text()

    assert re.fullmatch(r"fraud:v1-[0-9a-f]{8}", built.tag)
    assert "run: '17'" in text
    assert load_bundle(built.bundle).version == "1"


def test_a_bento_carries_the_page_and_all_that_it_loads(built: BuiltBento) -> None:
    inside = built.path / "src" / "mlplatform" / "serving" / "web"

    assert {path.relative_to(WEB) for path in web_files()} == {
        path.relative_to(inside) for path in inside.rglob("*") if path.is_file() and path.suffix != ".py"
    }
    assert (inside / "static" / "page.js").read_bytes() == (WEB / "static" / "page.js").read_bytes()


def test_no_file_of_a_bento_is_a_pickle(built: BuiltBento) -> None:
    files = [path for path in built.path.rglob("*") if path.is_file()]

    assert len(files) > 30
    assert not [path for path in files if path.suffix in PICKLE_SUFFIXES]
    assert not [path for path in files if path.read_bytes().startswith(PROTOCOL_2_OR_LATER)]


def test_no_code_of_a_bento_reads_pickles_or_runs_text(built: BuiltBento) -> None:
    """What it does when it runs is traced in test_secured_service.py."""
    sources = sorted((built.path / "src").rglob("*.py"))
    found = {path.name: sorted(names) for path in sources if (names := names_of(path) & UNSAFE)}

    assert len(sources) > 30
    assert found == {}


def names_of(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it, and functions that it calls by their plain name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names.add(f"{node.func.id}()")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            names.add(node.arg)
    return names


@pytest.mark.slow
def test_a_bento_serves_from_its_own_source_without_any_training_library(built: BuiltBento) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE_ONCE], cwd=built.path / "src", capture_output=True, text=True, check=True
    )
    file, tag, modules = done.stdout.strip().splitlines()

    assert Path(file).is_relative_to(built.path)
    assert tag == built.tag
    assert not TRAINING_ONLY & set(modules.split())


def test_the_packages_of_a_bento_are_pinned_and_named_once(built: BuiltBento) -> None:
    lines = (built.path / "env" / "python" / "requirements.txt").read_text().split()

    assert all("==" in line for line in lines)
    assert len(lines) == len({line.partition("==")[0] for line in lines})
    assert {"bentoml", "lightgbm", "numpy"} <= {line.partition("==")[0] for line in lines}


def test_the_same_bundle_again_is_the_same_bento(make_bundle: MakeBundle, home: Home) -> None:
    folder = make_bundle("1")
    first = build_bento(folder, "fraud", 1, home=home)
    created = (first.path / "bento.yaml").stat().st_mtime_ns
    second = build_bento(folder, "fraud", 1, home=home)

    assert second == first
    assert (second.path / "bento.yaml").stat().st_mtime_ns == created


def test_other_content_under_the_same_version_is_another_bento_and_the_first_stays_whole(
    make_bundle: MakeBundle, home: Home
) -> None:
    folder = make_bundle("1")
    first = build_bento(folder, "fraud", 1, home=home)
    sealed_first = load_bundle(first.bundle).manifest
    write_manifest(folder, "fraud", "1", {"run_id": "another"})
    second = build_bento(folder, "fraud", 1, home=home)

    assert second.tag != first.tag
    assert load_bundle(first.bundle).manifest == sealed_first
    assert load_bundle(second.bundle).manifest.facts == {"run_id": "another"}


def test_two_homes_in_one_process_have_their_own_bentos(make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_bundle("1")
    built = [build_bento(folder, "fraud", 1, home=Home(tmp_path / name)) for name in ("one", "two")]

    assert [bento.path.is_relative_to(tmp_path / name) for bento, name in zip(built, ("one", "two"), strict=True)] == [
        True,
        True,
    ]


def test_a_bundle_of_another_version_is_not_built(make_bundle: MakeBundle, home: Home) -> None:
    with pytest.raises(ArtifactError, match="holds fraud version 1, not fraud version 2"):
        build_bento(make_bundle("1"), "fraud", 2, home=home)
