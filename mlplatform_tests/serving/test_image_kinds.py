"""Every kind of model answers from an image that holds its own packages only, and says what it says here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.home import Home
from mlplatform.ml.model import Model
from mlplatform.serving.build import build_bento
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.lookup import LookupSettings
from mlplatform.serving.scoring import Live
from mlplatform_tests.ml.conftest import blend, train
from mlplatform_tests.ml.data import labelled_rows
from mlplatform_tests.ml.task_data import forecast_rows, forecast_training, order_rows, order_training
from mlplatform_tests.serving.image_tree import free_port, slim, write_image_tree
from mlplatform_tests.serving.test_lookup import newest_forecast, newest_order, sealed

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

TYPES = {"channel": ("string", "web"), "night": ("boolean", True)}


def by_features(folder: Path, model: Model) -> Path:
    model.save(folder)
    rules = [
        Rule.model_validate({"name": name, "type": kind, "example": example})
        for name in model.features
        for kind, example in [TYPES.get(name, ("float", 1.5))]
    ]
    (folder / "contract.json").write_text(dump_rules(rules))
    write_manifest(folder, "case", "1")
    return folder


def of_kind(name: str) -> Callable[[Path], Path]:
    return lambda folder: by_features(folder, train(name, labelled_rows()).model)


def blended(folder: Path) -> Path:
    rows = labelled_rows()
    return by_features(folder, blend(rows, {name: train(name, rows) for name in ("trees", "linear")}).model)


def films(folder: Path) -> Path:
    settings = LookupSettings(("user_id",), "items", ("item", "title"), "event_time", {"user_id": 0}, "k", usual=5)
    return sealed(folder, newest_order(), settings, order_training(), order_rows())


def sales(folder: Path) -> Path:
    settings = LookupSettings(("series",), "forecasts", ("horizon",), "event_time", {}, "horizon", steps="horizon")
    return sealed(folder, newest_forecast(), settings, forecast_training(), forecast_rows())


@pytest.mark.parametrize(
    ("make", "packages"),
    [
        pytest.param(of_kind("linear"), {"onnxruntime"}, id="linear"),
        pytest.param(of_kind("forest"), {"onnxruntime"}, id="forest"),
        pytest.param(blended, {"lightgbm", "onnxruntime"}, id="blend"),
        pytest.param(films, {"lightgbm", "pandas", "pyarrow"}, id="films by key"),
        pytest.param(sales, {"lightgbm", "pandas", "pyarrow"}, id="forecasts by key"),
    ],
)
def test_it_answers_from_its_own_image_as_here(
    make: Callable[[Path], Path], packages: set[str], tmp_path: Path
) -> None:
    built = build_bento(make(tmp_path / "bundle"), "case", 1, home=Home(tmp_path / "home"))
    live = Live.of(load_bundle(built.bundle), built.tag)
    request: dict[str, Any] = live.bundle.lookup.example() if live.bundle.lookup else live.example()
    tree, port = write_image_tree(built.path, tmp_path / "image"), free_port()
    with slim(tree, port):
        reply = httpx.post(f"http://127.0.0.1:{port}/predict", json=request, trust_env=False)

    holds = {path.name for path in tree.packages.iterdir()}
    assert packages <= holds
    assert not {"sklearn", "scipy", "onnx", "mlflow", "dagster", "bentoml"} & holds
    assert reply.status_code == 200, reply.text
    said = reply.json()
    assert said.pop("request_id")
    assert said == {**expected(live, request), **live.stamp}


def expected(live: Live, request: dict[str, Any]) -> Any:
    if live.bundle.lookup is None:
        return live.predict([request], explain=True)[0]
    found = live.look_up(request, explain=True)
    assert not isinstance(found, str)
    return found.content
