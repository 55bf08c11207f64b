"""The backtest as an asset: its own job and no other, what it writes and shows."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.resources import shared_resources
from mlplatform.spec import Declaration, declared_use_cases, load_declaration
from mlplatform.spec.load import USE_CASES
from mlplatform.stages.jobs import backtest_job, everything_job, ingest_job, training_job
from mlplatform.stages.policy_backtest import policy_backtest_asset, replay_policies
from mlplatform_tests.ml.backtest.conftest import small_history, small_use_case
from mlplatform_tests.small_fraud import dagster_home

UC = Declaration(small_use_case(), USE_CASES / "fraud")


@pytest.fixture
def filled(prepared: Home) -> Lake:
    lake, rows = Lake.at(prepared), small_history(days=70)
    told = ["label", "label_known_at"]
    lake.commit(lambda con: replace_table(con, "small.features", rows.drop(columns=told)), "features")
    lake.commit(lambda con: replace_table(con, "small.spine", rows[["id", "event_time", *told]]), "spine")
    return lake


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as opened:
        yield opened


@pytest.mark.slow
def test_only_its_own_job_holds_the_backtest(prepared: Home) -> None:
    from mlplatform.definitions import defs

    found = defs()
    for name in declared_use_cases():
        uc, key = load_declaration(name), dg.AssetKey([name, "policy_backtest"])
        held = {
            job: key in found.resolve_job_def(job).asset_layer.selected_asset_keys
            for job in (everything_job(uc), ingest_job(uc), training_job(uc), backtest_job(uc))
        }
        assert [job for job, holds in held.items() if holds] == [backtest_job(uc)]
        assert found.resolve_job_def(backtest_job(uc)).asset_layer.selected_asset_keys == {key}


@pytest.mark.slow
def test_the_asset_shows_a_picture_and_a_recommendation_and_keeps_every_course(
    filled: Lake, instance: dg.DagsterInstance
) -> None:
    result = dg.materialize(
        [policy_backtest_asset(UC)],
        instance=instance,
        resources=shared_resources(),
        selection=[dg.AssetKey(["small", "policy_backtest"])],
        run_config=dg.RunConfig(
            ops={"small__policy_backtest": {"config": {"policies": ["weekly", "performance"], "jobs": 1}}}
        ),
    )
    [made] = result.asset_materializations_for_node("small__policy_backtest")
    told: dict[str, Any] = {name: value.value for name, value in made.metadata.items()}
    assert "data:image/png;base64," in told["course"]
    assert told["recommended"] in ("never", "weekly", "performance")
    assert told["recommendation"].startswith(f"{told['recommended']}: ")
    rows = course(filled)
    assert set(rows["policy"]) == {"never", "weekly", "performance"}
    assert len(rows) == 3 * 2 * told["windows"]


def test_a_second_backtest_replaces_the_first(filled: Lake) -> None:
    for windows in (4, 3):
        replay_policies(UC, filled, ["never"], windows, 1, lambda _: None)
    assert len(course(filled)) == 2 * 3


def test_without_features_it_says_what_to_run(prepared: Home) -> None:
    with pytest.raises(LakeError, match=r"there is no small\.features to replay; run `mlplatform run small` first"):
        replay_policies(UC, Lake.at(prepared), [], None, 1, lambda _: None)


def course(lake: Lake) -> pd.DataFrame:
    with lake.read() as con:
        found: pd.DataFrame = con.execute("FROM small.policy_backtest").df()
    return found
