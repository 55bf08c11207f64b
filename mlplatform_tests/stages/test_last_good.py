"""The remedy `last_good`: tables of a step go back to what they were when their checks last passed."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlplatform.healing.ledger import read_steps
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.maintenance import maintain
from mlplatform.lake.tables import describe_table, replace_table
from mlplatform.resources.lake import table_metadata, table_of
from mlplatform.stages.jobs import use_case_tags
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

SPINE, FEATURES = dg.AssetKey(["fraud", "spine"]), dg.AssetKey(["fraud", "features"])
REPORT = dg.AssetKey(["fraud", "drift_report"])
RULES = [{"when": "features.leakage", "remedy": "last_good", "attempts": 1, "backoff_seconds": 0}]


@pytest.fixture
def platform(prepared: Home) -> Iterator[Platform]:
    with dagster_home(prepared.dagster) as instance:
        platform = Platform(small_fraud(healing=RULES), instance)
        platform.tick("fraud_healing")
        yield platform


def build(platform: Platform, home: Home, value: int, passes: bool) -> dg.ExecuteInProcessResult:
    """What dbt's step and the leakage check do: two tables in one step, a blocking check, a report behind it."""
    lake = Lake.at(home)

    def written(key: dg.AssetKey) -> dg.MaterializeResult[Any]:
        # One row more than DuckLake keeps in its catalog.
        rows = pd.DataFrame({"x": [value] * 20})
        done = lake.commit(lambda con: replace_table(con, table_of(key), rows), "build")
        table = table_metadata(describe_table(lake, table_of(key), done.snapshot))
        return dg.MaterializeResult(asset_key=key, metadata=table)

    @dg.multi_asset(
        specs=[dg.AssetSpec(SPINE), dg.AssetSpec(FEATURES, deps=[SPINE])],
        check_specs=[dg.AssetCheckSpec("leakage", asset=FEATURES, blocking=True)],
    )
    def dbt() -> Iterator[Any]:
        yield written(SPINE)
        yield written(FEATURES)
        yield dg.AssetCheckResult(asset_key=FEATURES, check_name="leakage", passed=passes)

    @dg.asset(key=REPORT, deps=[FEATURES])
    def report() -> None: ...

    tags = use_case_tags(platform.declaration)
    return dg.materialize([dbt, report], instance=platform.instance, tags=tags, raise_on_error=False)


def held(home: Home, key: dg.AssetKey) -> set[int]:
    with Lake.at(home).read() as con:
        return {row[0] for row in con.execute(f"FROM {table_of(key)}").fetchall()}


def test_both_tables_of_the_step_go_back_and_only_what_comes_behind_it_is_run(platform: Platform, home: Home) -> None:
    assert build(platform, home, 1, passes=True).success
    assert not build(platform, home, 2, passes=False).success
    assert held(home, SPINE) == {2}
    [request] = platform.tick("fraud_healing").requests
    assert held(home, SPINE) == held(home, FEATURES) == {1}
    assert request.asset_selection == [REPORT]
    started = read_steps(Lake.at(home), "fraud")[-1]
    assert (started.outcome, started.remedy) == ("started", "last_good")
    assert "fraud.features, fraud.spine as of snapshot" in started.detail
    event = platform.instance.get_latest_materialization_event(FEATURES)
    assert event is not None
    assert event.asset_materialization is not None
    assert "put back by healing" in (event.asset_materialization.description or "")


def test_a_run_whose_check_failed_is_no_good_one_however_new_it_is(platform: Platform, home: Home) -> None:
    build(platform, home, 1, passes=True)
    build(platform, home, 2, passes=False)
    platform.tick("fraud_healing")
    build(platform, home, 3, passes=False)
    platform.instance.report_run_failed(started_attempt(platform))
    platform.tick("fraud_healing")
    platform.tick("fraud_healing")
    assert held(home, FEATURES) == {1}


def started_attempt(platform: Platform) -> dg.DagsterRun:
    """The run that the first attempt asked for, as a daemon would have launched it."""
    from mlplatform.healing.problem import Problem, problems
    from mlplatform.stages.remedies import ATTEMPT_TAG, PROBLEM_TAG, attempt_name

    [problem, *_] = problems(read_steps(Lake.at(Home.current()), "fraud"))
    assert isinstance(problem, Problem)
    tags = {**use_case_tags(platform.declaration), PROBLEM_TAG: problem.id, ATTEMPT_TAG: attempt_name(problem)}
    run = dg.DagsterRun(job_name="fraud_everything", tags=tags, status=dg.DagsterRunStatus.STARTED)
    return platform.instance.add_run(run)


def test_without_a_good_run_nothing_is_touched_and_it_gives_up(platform: Platform, home: Home) -> None:
    build(platform, home, 2, passes=False)
    assert platform.tick("fraud_healing").requests == []
    steps = read_steps(Lake.at(home), "fraud")
    assert [step.outcome for step in steps] == ["waiting", "started", "failed", "gave up"]
    assert "no earlier run made features with all checks passed" in steps[-1].detail
    assert held(home, FEATURES) == {2}


def test_a_good_snapshot_that_maintenance_expired_is_named_and_it_gives_up(platform: Platform, home: Home) -> None:
    from datetime import UTC, datetime, timedelta

    build(platform, home, 1, passes=True)
    build(platform, home, 2, passes=False)
    maintain(Lake.at(home), keep_snapshots=set(), now=datetime.now(UTC) + timedelta(days=2), keep_days=1)
    assert platform.tick("fraud_healing").requests == []
    assert "no snapshot" in read_steps(Lake.at(home), "fraud")[-1].detail
    assert held(home, FEATURES) == {2}
