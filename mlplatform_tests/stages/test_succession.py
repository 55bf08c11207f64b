"""A fresh champion that did worse is taken back once, by the sensor, and only where that is declared."""

import json
from collections.abc import Iterator

import dagster as dg
import pandas as pd
import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform.resources.tracking import Registered
from mlplatform.spec import Declaration
from mlplatform.stages.alias import (
    PROMOTION,
    ROLLBACK,
    alias_moves,
    promoted_over,
    record_alias,
    recorded_champion,
    rolled_back,
    settled_champion,
)
from mlplatform.stages.jobs import jobs
from mlplatform.stages.succession import succession_sensor, succession_table
from mlplatform_tests.small_fraud import dagster_home, small_fraud


@pytest.fixture
def uc() -> Declaration:
    return small_fraud(rollback={"pause_days": 10})


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as opened:
        yield opened


def deploy(version: int) -> None:
    pointer = {"use_case": "fraud", "bento": f"fraud:v{version}", "version": version, "path": "", "deployed_at": ""}
    path = Home.current().deployment("fraud")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(pointer))


def compared(uc: Declaration, verdict: str, version: int = 2, as_of: str = "2018-07-01") -> None:
    row = {"as_of": pd.Timestamp(as_of), "model_version": version, "predecessor": 1, "verdict": verdict}
    frame = pd.DataFrame([{**row, "reason": "worse: by a lot"}])
    Lake.at(Home.current()).commit(lambda con: append_rows(con, succession_table(uc), frame), "succession")


def tick(uc: Declaration, instance: dg.DagsterInstance) -> tuple[list[dg.RunRequest], str]:
    data = succession_sensor(uc, jobs(uc)).evaluate_tick(dg.build_sensor_context(instance=instance))
    return list(data.run_requests or []), data.skip_message or ""


def moved(uc: Declaration, version: int, before: int | None, cause: str) -> None:
    lake = Lake.at(Home.current())
    lake.commit(lambda con: record_alias(con, uc, version, before, cause, f"{cause} of v{version}"), cause)


def test_a_champion_that_did_worse_is_rolled_back_to_its_predecessor(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    moved(uc, 2, 1, PROMOTION)
    deploy(2)
    compared(uc, "roll_back")
    [request], _ = tick(uc, instance)
    config = request.run_config["ops"]["fraud__rollback"]["config"]
    assert config == {"reason": "v2 is worse: by a lot", "to_version": 1, "pause_days": 10}


@pytest.mark.parametrize("verdict", ["keep", "wait"])
def test_one_that_did_not_stays_and_the_tick_says_why(
    uc: Declaration, instance: dg.DagsterInstance, verdict: str
) -> None:
    deploy(2)
    compared(uc, verdict)
    requests, said = tick(uc, instance)
    assert requests == []
    assert "worse: by a lot" in said


def test_the_newest_comparison_counts(uc: Declaration, instance: dg.DagsterInstance) -> None:
    deploy(2)
    compared(uc, "roll_back", as_of="2018-07-01")
    compared(uc, "keep", as_of="2018-07-08")
    assert tick(uc, instance)[0] == []


def test_after_the_rollback_nothing_more_is_asked_for(uc: Declaration, instance: dg.DagsterInstance) -> None:
    deploy(1)
    compared(uc, "roll_back", version=2)
    assert tick(uc, instance)[0] == []


def test_a_version_that_a_person_brought_back_is_not_taken_away_by_the_old_verdict(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    moved(uc, 2, 1, PROMOTION)
    compared(uc, "roll_back")
    moved(uc, 1, 2, ROLLBACK)
    moved(uc, 2, 1, ROLLBACK)
    deploy(2)
    requests, said = tick(uc, instance)
    assert requests == []
    assert "did not come by a promotion" in said


def test_where_it_is_not_automatic_the_comparison_is_only_told(prepared: Home, instance: dg.DagsterInstance) -> None:
    by_hand = small_fraud(rollback={"automatic": False})
    moved(by_hand, 2, 1, PROMOTION)
    deploy(2)
    compared(by_hand, "roll_back")
    requests, said = tick(by_hand, instance)
    assert requests == []
    assert "rollback.automatic is false" in said


def test_the_history_of_the_alias_tells_who_is_champion_and_who_was_taken_back(uc: Declaration, prepared: Home) -> None:
    lake = Lake.at(prepared)
    assert (recorded_champion(uc, lake), alias_moves(uc, lake), rolled_back(uc, lake)) == (None, 0, {})
    moved(uc, 1, None, PROMOTION)
    moved(uc, 2, 1, PROMOTION)
    assert promoted_over(uc, lake, 2) == 1
    assert promoted_over(uc, lake, 1) is None, "the first replaced nobody"
    moved(uc, 1, 2, ROLLBACK)
    assert recorded_champion(uc, lake) == 1
    assert promoted_over(uc, lake, 1) is None, "it came back, it was not promoted"
    assert rolled_back(uc, lake) == {2: "rollback of v1"}
    assert alias_moves(uc, lake) == 3
    moved(uc, 2, 1, ROLLBACK)
    assert rolled_back(uc, lake) == {}, "v2 was brought back, and is no bad one any more; v1 made room, and was none"


class _Registry:
    """MLflow's alias, and nothing else of it."""

    def __init__(self, version: int) -> None:
        self.alias = version

    def champion(self, use_case: str) -> Registered:
        return Registered(use_case, self.alias, f"run-{self.alias}", {})

    def make_champion(self, use_case: str, version: int) -> None:
        assert use_case == "fraud"
        self.alias = version


@pytest.mark.parametrize(("cause", "settled"), [(ROLLBACK, 1), (PROMOTION, 2)])
def test_a_rollback_that_was_killed_before_the_alias_moved_is_finished_by_whoever_asks_next(
    uc: Declaration, prepared: Home, cause: str, settled: int
) -> None:
    lake, registry = Lake.at(prepared), _Registry(2)
    moved(uc, 2, 1, PROMOTION)
    moved(uc, 1, 2, cause)
    found = settled_champion(uc, lake, registry)  # type: ignore[arg-type]
    assert found is not None
    assert (found.version, registry.alias) == (settled, settled)
