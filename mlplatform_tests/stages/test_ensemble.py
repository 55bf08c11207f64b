"""A use case with an ensemble, on real parts: dbt, lake, MLflow."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from mlplatform.cli.setup import prepare_home
from mlplatform.errors import TrainingError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table, replace_table
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.spec import UseCase as UseCaseSpec
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

CANDIDATES = ["candidate_lightgbm", "candidate_logistic", "candidate_blend"]
UNTIL_CHAMPION = [
    *("raw_transactions", "stg_transactions", "spine", "features", "training_set"),
    *CANDIDATES,
    "champion",
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in Home(tmp_path_factory.mktemp("ensemble")).environment().items():
            patch.setenv(name, value)
        home = Home.current()
        prepare_home(home)
        yield home


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    with dagster_home(module_home.dagster) as instance:
        yield Platform(with_blend(small_fraud(days=70)), instance)


def with_blend(declared: Declaration) -> Declaration:
    content = declared.spec.model_dump()
    content["training"]["candidates"].append({"name": "blend", "kind": "ensemble"})
    return Declaration(UseCaseSpec.model_validate(content), declared.folder)


def test_the_ensemble_comes_after_its_members_and_is_compared_like_them(platform: Platform) -> None:
    graph = platform.definitions.resolve_asset_graph()
    [blend] = [key for key in graph.get_all_asset_keys() if key.path[-1] == "candidate_blend"]
    [champion] = [key for key in graph.get_all_asset_keys() if key.path[-1] == "champion"]
    parents = {key.path[-1] for key in graph.get(blend).parent_keys}
    assert parents == {"training_set", "candidate_lightgbm", "candidate_logistic"}
    assert blend in graph.get(champion).parent_keys

    assert platform.run(UNTIL_CHAMPION).success
    compared = {record.data["contender"] for record in platform.metadata("champion")["comparison"].records}
    assert compared == {"lightgbm", "logistic", "blend"}


def test_its_members_were_trained_once_and_its_model_holds_their_files(platform: Platform) -> None:
    tracking = Tracking()
    runs = tracking.client().search_runs([tracking.client().get_experiment_by_name("fraud").experiment_id])
    assert sorted(run.data.tags["candidate"] for run in runs) == ["blend", "lightgbm", "logistic"]

    folder = tracking.model_folder(platform.metadata("candidate_blend")["mlflow_run_id"])
    weights = json.loads((folder / "model.json").read_text())["weights"]
    assert weights
    for name in weights:
        member = tracking.model_folder(platform.metadata(f"candidate_{name}")["mlflow_run_id"])
        for file in ("model.json", "model.txt" if name == "lightgbm" else "model.onnx"):
            assert (folder / "members" / name / file).read_bytes() == (member / file).read_bytes()


def test_its_model_can_be_sealed_and_served(platform: Platform, tmp_path: Path) -> None:
    import shutil

    from mlplatform.serving.bundle import load_bundle, write_manifest
    from mlplatform.serving.scoring import Live

    folder = tmp_path / "bundle"
    shutil.copytree(Tracking().model_folder(platform.metadata("candidate_blend")["mlflow_run_id"]), folder)
    write_manifest(folder, "fraud", 1)
    live = Live.of(load_bundle(folder), "fraud:v1")
    [answer] = live.predict([live.example()], explain=True)
    assert 0 < answer["score"] < 1
    assert len(answer["reasons"]) == 3


def test_no_trials_are_left_behind_when_the_models_are_recorded(platform: Platform, module_home: Home) -> None:
    assert list(module_home.tuning.glob("*")) == []


def test_the_same_rows_give_the_same_ensemble(platform: Platform) -> None:
    tracking = Tracking()
    first = tracking.model_folder(platform.metadata("candidate_blend")["mlflow_run_id"])
    assert platform.run(["candidate_blend"]).success
    second = tracking.model_folder(platform.metadata("candidate_blend")["mlflow_run_id"])
    assert first != second
    assert (first / "model.json").read_bytes() == (second / "model.json").read_bytes()


def test_a_champion_table_of_other_columns_takes_a_new_comparison(platform: Platform, module_home: Home) -> None:
    lake = Lake.at(module_home)
    old = pd.DataFrame({"as_of": [pd.Timestamp("2018-01-01")], "contender": ["old"], "auc": [0.5]})
    with lake.read() as con:
        stored = con.execute("SELECT * EXCLUDE (figures) FROM fraud.champion").df()
    lake.commit(lambda con: replace_table(con, "fraud.champion", stored.merge(old, how="outer")), "as it was")
    platform.run(["champion"], raise_on_error=True)
    assert {"auc", "figures"} <= set(describe_table(lake, "fraud.champion").columns)


def test_members_of_an_older_training_set_are_not_blended(platform: Platform) -> None:
    with pytest.raises(TrainingError, match=r"candidate_lightgbm was trained on snapshot .*; materialise that"):
        platform.run(["training_set", "candidate_blend"], raise_on_error=True)
