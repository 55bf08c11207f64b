"""What the image of a bento holds, and what its manifests say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlplatform.errors import ArtifactError, PlatformError
from mlplatform.home import Home
from mlplatform.serving.build import BuiltBento, build_bento
from mlplatform.serving.recipe.packages import EXTRAS, closure, image_requirements, needed_packages, read_pins
from mlplatform.serving.recipe.write import CONCURRENCY, render, write_recipe
from mlplatform.serving.slim import GRACE_SECONDS
from mlplatform_tests.serving.conftest import write_bundle

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

ROOT = Path(__file__).parents[2]
ALL = ("cloudrun.yaml", "knative.yaml", "kubernetes.yaml")
NOT_FOR_SERVING = {
    *("bentoml", "dagster", "dbt-core", "evidently", "matplotlib", "mlflow", "onnx", "optuna", "pandas", "pandera"),
    *("plotly", "pyarrow", "scikit-learn", "scipy", "shap", "sqlalchemy", "sqlglot", "duckdb"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltBento:
    home = Home(tmp_path_factory.mktemp("home"))
    return build_bento(write_bundle(home.root / "v1", "1"), "fraud", 1, home=home)


@pytest.fixture(scope="module")
def recipe(built: BuiltBento, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(built.path, tmp_path_factory.mktemp("recipe") / "out", "registry.example/fraud:v1").folder


def names(requirements: str) -> set[str]:
    return {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}


def test_trees_need_no_library_that_trains_plots_or_orchestrates(recipe: Path) -> None:
    listed = names((recipe / "requirements.txt").read_text())

    assert {"lightgbm", "numpy", "orjson", "starlette", "uvicorn"} <= listed
    assert not listed & NOT_FOR_SERVING


def test_each_package_is_pinned_as_the_platform_pins_it_with_hashes(recipe: Path) -> None:
    text, base = (recipe / "requirements.txt").read_text(), (ROOT / "requirements" / "base.txt").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())

    assert all(re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", block) for block in blocks)
    assert all(block.split(" ")[0] in base for block in blocks)
    assert all(re.sub(r"\s*\\\s*", "", part) in base for block in blocks for part in block.split("\n")[1:])


@pytest.mark.parametrize(
    ("description", "needed"),
    [
        ({"kind": "lightgbm"}, {"lightgbm"}),
        ({"kind": "onnx"}, {"onnxruntime"}),
        ({"kind": "logistic"}, {"onnxruntime"}),
        (
            {"kind": "per_level", "levels": {"0.5": {"kind": "lightgbm"}, "0.9": {"kind": "onnx"}}},
            {"lightgbm", "onnxruntime"},
        ),
    ],
)
def test_the_kind_of_the_model_says_what_reads_it(
    tmp_path: Path, description: dict[str, Any], needed: set[str]
) -> None:
    (tmp_path / "model.json").write_text(json.dumps(description))

    assert set(needed_packages(tmp_path)) & {"lightgbm", "onnxruntime"} == needed


def test_members_of_an_ensemble_and_rows_by_key_count(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"kind": "ensemble"}')
    (tmp_path / "members" / "trees").mkdir(parents=True)
    (tmp_path / "members" / "trees" / "model.json").write_text('{"kind": "lightgbm"}')
    (tmp_path / "lookup.parquet").touch()

    assert {"lightgbm", "pandas", "pyarrow"} <= set(needed_packages(tmp_path))


def test_what_a_package_requires_comes_along_but_for_the_library_alone() -> None:
    assert {"anyio", "h11", "pydantic-core", "typing-extensions"} <= set(closure(["starlette", "uvicorn", "pydantic"]))
    assert closure(["lightgbm"]) == ["lightgbm"]


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_every_extra_is_pinned(built: BuiltBento, extra: str) -> None:
    assert set(EXTRAS[extra]) <= names(image_requirements(built.bundle, [extra]))


def test_pins_without_a_file_are_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_pins(tmp_path / "base.txt")
    with pytest.raises(ArtifactError, match="nothing-like-this is not installed"):
        closure(["nothing-like-this"])


def test_the_image_runs_as_a_number_without_a_shell_and_says_whether_it_is_ready(recipe: Path) -> None:
    text = (recipe / "Containerfile").read_text()
    last = text.rpartition("\nFROM ")[2]

    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python3", "-m", "mlplatform.serving.slim"\]$', last, re.MULTILINE)
    assert re.search(r'CMD \["python3", "-m", "mlplatform.serving.ready"\]$', last, re.MULTILINE)
    assert "--require-hashes" in text
    assert "--chown" not in text


def test_a_recipe_does_not_write_over_another(built: BuiltBento, recipe: Path) -> None:
    with pytest.raises(PlatformError, match="is there already"):
        write_recipe(built.path, recipe)


def test_a_bundle_that_was_changed_gets_no_image(built: BuiltBento, tmp_path: Path) -> None:
    (tmp_path / "bento" / "src" / "bundle").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="not a sealed bundle"):
        write_recipe(tmp_path / "bento", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("image", ["Fraud", "a b", "x\nUSER root"])
def test_a_name_that_is_no_image_s_is_refused(built: BuiltBento, tmp_path: Path, image: str) -> None:
    with pytest.raises(PlatformError, match="no name of an image"):
        write_recipe(built.path, tmp_path / "out", image)


@pytest.mark.parametrize(
    ("template", "file"),
    [
        ("cloudrun", "cloudrun/service.yaml"),
        ("knative", "knative/service.yaml"),
        ("kubernetes", "kubernetes/deployment.yaml"),
    ],
)
def test_the_manifests_in_deploy_are_what_the_recipe_writes(template: str, file: str) -> None:
    written = render(f"{template}.yaml", "fraud", "fraud:v1", "registry.example/fraud:v1")

    assert (ROOT / "deploy" / file).read_text() == written


def pods(recipe: Path, *names: str) -> list[dict[str, Any]]:
    """The pod of each manifest."""
    manifests = [next(yaml.safe_load_all((recipe / name).read_text())) for name in names or ALL]
    return [manifest["spec"]["template"]["spec"] for manifest in manifests]


def test_kubernetes_and_knative_run_it_as_nobody_on_a_read_only_file_system(recipe: Path) -> None:
    (user,) = re.findall(r"^USER (\d+)", (recipe / "Containerfile").read_text(), re.MULTILINE)
    for pod in pods(recipe, "knative.yaml", "kubernetes.yaml"):
        (container,) = pod["containers"]
        merged = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert merged["runAsNonRoot"] is True
        assert merged["runAsUser"] == int(user)
        assert merged["readOnlyRootFilesystem"] is True
        assert merged["allowPrivilegeEscalation"] is False
        assert merged["capabilities"] == {"drop": ["ALL"]}
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_every_manifest_has_probes_limits_and_the_image(recipe: Path) -> None:
    for pod in pods(recipe):
        (container,) = pod["containers"]
        assert container["startupProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert container["resources"]["limits"]["memory"]
        assert container["image"] == "registry.example/fraud:v1"


def test_every_manifest_journals_where_it_may_write_and_takes_keys_from_a_secret(recipe: Path) -> None:
    for pod in pods(recipe):
        (container,) = pod["containers"]
        variables = {each["name"]: each for each in container["env"]}
        (mount,), (volume,) = container["volumeMounts"], pod["volumes"]

        assert variables["MLPLATFORM_JOURNAL"]["value"] == mount["mountPath"]
        assert volume["name"] == mount["name"]
        assert "emptyDir" in volume
        assert variables["MLPLATFORM_API_KEYS"]["valueFrom"]["secretKeyRef"]["name"] == "fraud-api-keys"
        assert "value" not in variables["MLPLATFORM_API_KEYS"]


def test_what_waits_in_front_and_what_the_service_takes_are_one_number(recipe: Path) -> None:
    for pod in pods(recipe):
        taken = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert int(taken["MLPLATFORM_MAX_CONCURRENCY"]) == pod.get("containerConcurrency", CONCURRENCY) == CONCURRENCY


def test_hosts_that_set_the_port_themselves_are_left_to_it(recipe: Path) -> None:
    for pod in pods(recipe, "cloudrun.yaml", "knative.yaml"):
        assert "PORT" not in {each["name"] for each in pod["containers"][0]["env"]}


def test_kubernetes_waits_longer_than_the_service_takes_to_end(recipe: Path) -> None:
    deployment, service = yaml.safe_load_all((recipe / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]
    before = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod["spec"]["terminationGracePeriodSeconds"] > before + GRACE_SECONDS
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
