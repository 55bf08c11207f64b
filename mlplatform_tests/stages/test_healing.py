"""Failures that heal, or do not, on a real lake and a real Dagster instance; only the source is a small file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import orjson
import pytest

from mlplatform.errors import SpecError
from mlplatform.healing.ledger import Step, read_steps
from mlplatform.healing.problem import problems
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.stages.attempts import tried
from mlplatform.stages.jobs import everything_job, use_case_tags
from mlplatform_tests.small_fraud import Platform, dagster_home, failed_checks, small_fraud
from mlplatform_tests.stages.test_raw import ROWS, count, transactions

AT_ONCE = {"attempts": 2, "backoff_seconds": 0}
RULES = [
    {"when": "raw.contract", "remedy": "refetch", "attempts": 1, "backoff_seconds": 0},
    {"when": "raw.contract", "remedy": "quarantine", "attempts": 1, "backoff_seconds": 0, "max_bad_share": 0.2},
    {"when": "run", "remedy": "retry", **AT_ONCE},
]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "transactions.csv"
    transactions().to_csv(path, index=False)
    return path


def declared(csv: Path, **overrides: object):
    source = {
        "name": "transactions",
        "kind": "files",
        "path": str(csv),
        "key": ["transaction_id"],
        "start": "2018-04-01",
        "columns": {"transaction_id": "TX_ID"},
    }
    return small_fraud(**{"sources": [source], "healing": RULES} | overrides)


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as opened:
        yield opened


@pytest.fixture
def platform(instance: dg.DagsterInstance, csv: Path) -> Platform:
    """The sensor has ticked once, as it has when `mlplatform up` has been running for a minute."""
    platform = Platform(declared(csv), instance)
    assert "watches from event" in platform.tick("fraud_healing").skipped
    return platform


def poison(csv: Path, rows: int) -> None:
    bad = transactions()
    bad["amount"] = bad["amount"].where(bad.index >= rows, "a lot")
    bad.to_csv(csv, index=False)


def outcomes(home: Home) -> list[tuple[str, str, int, str]]:
    return [(step.failed, step.remedy, step.attempt, step.outcome) for step in ledger(home)]


def ledger(home: Home) -> list[Step]:
    return read_steps(Lake.at(home), "fraud")


def alerts(home: Home) -> list[dict[str, str]]:
    return [orjson.loads(line) for line in home.alert_log.read_bytes().splitlines()] if home.alert_log.exists() else []


def heal(platform: Platform) -> dg.ExecuteInProcessResult:
    """A tick that starts the due attempt, and the run that it asks for."""
    [request] = platform.tick("fraud_healing").requests
    return platform.start(request)


def test_a_source_that_comes_back_heals_by_itself_and_the_ledger_tells_it(
    platform: Platform, home: Home, csv: Path
) -> None:
    away = csv.rename(csv.with_suffix(".away"))
    assert not platform.run(["raw_transactions"]).success
    assert not heal(platform).success
    away.rename(csv)
    assert heal(platform).success
    platform.tick("fraud_healing")
    assert outcomes(home) == [
        ("raw_transactions", "retry", 1, "waiting"),
        ("raw_transactions", "retry", 1, "started"),
        ("raw_transactions", "retry", 1, "failed"),
        ("raw_transactions", "retry", 2, "waiting"),
        ("raw_transactions", "retry", 2, "started"),
        ("raw_transactions", "retry", 2, "succeeded"),
    ]
    assert count(home, "raw_fraud.transactions") == ROWS
    assert [alert["kind"] for alert in alerts(home)] == ["run_failed", "healed"]
    assert "no file matches" in alerts(home)[0]["text"]


def test_after_the_declared_attempts_it_gives_up_and_says_so_once(platform: Platform, home: Home, csv: Path) -> None:
    csv.unlink()
    platform.run(["raw_transactions"])
    heal(platform)
    heal(platform)
    for _ in range(3):
        assert platform.tick("fraud_healing").requests == []
    assert outcomes(home)[-1] == ("raw_transactions", "retry", 2, "gave up")
    assert [alert["kind"] for alert in alerts(home)] == ["run_failed", "gave_up"]


def test_rows_that_stay_bad_go_to_quarantine_by_the_declared_rule_and_the_check_shows_it(
    platform: Platform, home: Home, csv: Path
) -> None:
    poison(csv, rows=20)
    assert failed_checks(platform.run(["raw_transactions"])) == {"contract"}
    assert not heal(platform).success
    healed = heal(platform)
    assert healed.success
    [check] = healed.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "20 bad rows are in quarantine" in (check.description or "")
    platform.tick("fraud_healing")
    assert [(step.remedy, step.outcome) for step in ledger(home)] == [
        ("refetch", "waiting"),
        ("refetch", "started"),
        ("refetch", "failed"),
        ("quarantine", "waiting"),
        ("quarantine", "started"),
        ("quarantine", "succeeded"),
    ]
    assert count(home, "raw_fraud.transactions") == ROWS - 20
    assert count(home, "fraud.quarantine") == 20
    assert "20 bad rows" in ledger(home)[-1].detail


def test_a_file_that_was_half_written_is_read_again_and_nothing_is_lost(
    platform: Platform, home: Home, csv: Path
) -> None:
    poison(csv, rows=20)
    platform.run(["raw_transactions"])
    transactions().to_csv(csv, index=False)
    assert heal(platform).success
    platform.tick("fraud_healing")
    assert ledger(home)[-1].outcome == "succeeded"
    assert ledger(home)[-1].remedy == "refetch"
    assert count(home, "raw_fraud.transactions") == ROWS


def test_more_bad_rows_than_the_rule_accepts_are_not_let_in(platform: Platform, home: Home, csv: Path) -> None:
    poison(csv, rows=60)
    platform.run(["raw_transactions"])
    heal(platform)
    assert not heal(platform).success
    platform.tick("fraud_healing")
    assert ledger(home)[-1].outcome == "gave up"
    assert count(home, "raw_fraud.transactions") == 0


def test_a_daemon_that_restarts_repeats_nothing(platform: Platform, home: Home, csv: Path) -> None:
    """The new one has the old one's cursor, or, if the tick died before it was kept, the one before."""
    csv.unlink()
    platform.run(["raw_transactions"])
    before = dict(platform._cursors)
    [first] = platform.tick("fraud_healing").requests
    told, written = alerts(home), ledger(home)
    with dagster_home(home.dagster) as fresh:
        restarted = Platform(platform.declaration, fresh)
        restarted._cursors = before
        [again] = restarted.tick("fraud_healing").requests
    assert again.run_key == first.run_key
    assert (alerts(home), ledger(home)) == (told, written)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["raise_for", "record_steps", "apply_remedy"])
def test_a_tick_that_is_killed_is_made_good_by_the_next_one_and_nobody_is_told_twice(
    platform: Platform, home: Home, csv: Path, function: str
) -> None:
    away = csv.rename(csv.with_suffix(".away"))
    assert not platform.run(["raw_transactions"]).success
    command = [
        sys.executable,
        "-m",
        "mlplatform_tests.stages.killed_tick",
        str(csv),
        platform._cursors["fraud_healing"],
    ]
    place = {**os.environ, **home.environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    died = subprocess.run([*command, function], env=place, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    away.rename(csv)
    assert heal(platform).success
    assert platform.tick("fraud_healing").requests == []
    assert [outcome for *_, outcome in outcomes(home)] == ["waiting", "started", "succeeded"]
    assert [alert["kind"] for alert in alerts(home)] == ["run_failed", "healed"]
    assert count(home, "raw_fraud.transactions") == ROWS


def test_a_retry_runs_only_what_was_left_over_the_same_partitions(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stage fails: a dbt that cannot be run."""
    monkeypatch.setattr("dagster_dbt.DbtCliResource.cli", _broken)
    assert not platform.run(["raw_transactions", "stg_transactions", "spine"], days=1).success
    [request] = platform.tick("fraud_healing").requests
    assert {key.path[-1] for key in request.asset_selection or []} == {"stg_transactions", "spine"}
    assert request.tags["dagster/asset_partition_range_start"] == "2018-04-01"
    assert ledger(home)[0].failed == "spine, stg_transactions"


def test_a_retry_of_a_run_over_one_day_reads_that_day_and_not_the_whole_source(
    platform: Platform, home: Home, csv: Path
) -> None:
    csv.unlink()
    tags = use_case_tags(platform.declaration) | {"dagster/partition": "2018-04-02"}
    key = dg.AssetKey(["fraud", "raw_transactions"])
    assert not platform.launch(everything_job(platform.declaration), tags, [key]).success
    [request] = platform.tick("fraud_healing").requests
    edges = [request.tags[f"dagster/asset_partition_range_{edge}"] for edge in ("start", "end")]
    assert edges == ["2018-04-02", "2018-04-02"]


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("no dbt today")


def test_a_failed_check_that_stops_nothing_is_told_though_the_run_is_green(platform: Platform, home: Home) -> None:
    run = green_run_with_a_failed_check(platform)
    for _ in range(2):
        platform.tick("fraud_healing")
    assert [(s.problem, s.failed, s.outcome) for s in ledger(home)] == [
        (f"{run}:raw_transactions.amounts_look_right", "raw_transactions.amounts_look_right", "alerted")
    ]
    [alert] = alerts(home)
    assert alert["kind"] == "check_failed"
    assert "the run went on" in alert["title"]


def test_a_check_that_fails_again_is_one_problem_until_it_passes(platform: Platform, home: Home) -> None:
    for passed in (False, False, True):
        green_run_with_a_failed_check(platform, passed)
        platform.tick("fraud_healing")
    assert [step.outcome for step in ledger(home)] == ["alerted", "resolved"]
    assert [alert["kind"] for alert in alerts(home)] == ["check_failed", "healed"]


def test_a_declared_freeze_pauses_retraining_until_somebody_resumes_it(
    instance: dg.DagsterInstance, home: Home, csv: Path
) -> None:
    from mlplatform.stages.pause import release
    from mlplatform.stages.retrain import paused

    rule = {"when": "raw_transactions", "remedy": "freeze", "attempts": 1, "backoff_seconds": 0}
    platform = Platform(declared(csv, healing=[rule]), instance)
    platform.tick("fraud_healing")
    green_run_with_a_failed_check(platform)
    assert platform.tick("fraud_healing").requests == []
    assert [step.outcome for step in ledger(home)] == ["waiting", "started", "succeeded"]
    held = paused(platform.declaration)
    assert held is not None
    assert held.by == "healing"
    assert "retraining is paused until it is released by healing" in platform.tick("fraud_retrain").skipped
    release(platform.declaration, Lake.at(home), "me")
    assert paused(platform.declaration) is None


def test_a_run_that_makes_good_what_failed_closes_the_problem(platform: Platform, home: Home, csv: Path) -> None:
    away = csv.rename(csv.with_suffix(".away"))
    platform.run(["raw_transactions"])
    heal(platform)
    heal(platform)
    away.rename(csv)
    assert platform.tick("fraud_healing").requests == []
    assert platform.run(["raw_transactions"]).success
    platform.tick("fraud_healing")
    assert ledger(home)[-1].outcome == "resolved"
    assert not any(problem.open for problem in problems(ledger(home)))


def test_the_sensor_that_asked_for_the_work_leaves_a_failed_one_to_healing(
    platform: Platform, home: Home, csv: Path
) -> None:
    tags = {"mlplatform/batch": "2018-04-01 abc", **use_case_tags(platform.declaration)}
    batch = {"mlplatform/batch": "2018-04-01 abc"}
    assert tried(platform.instance, platform.declaration, batch) is None
    away = csv.rename(csv.with_suffix(".away"))
    raw = [dg.AssetKey(["fraud", "raw_transactions"])]
    platform.launch("fraud_everything", tags, raw)
    early = tried(platform.instance, platform.declaration, batch)
    assert early is not None
    assert not early.over
    heal(platform)
    heal(platform)
    platform.tick("fraud_healing")
    late = tried(platform.instance, platform.declaration, batch)
    assert late is not None
    assert late.over
    assert "gave up" in late.text
    away.rename(csv)


def test_the_ledger_is_an_asset_with_a_readable_table(platform: Platform, csv: Path) -> None:
    csv.unlink()
    platform.run(["raw_transactions"])
    heal(platform)
    shown = platform.metadata("healing_ledger")
    assert shown["open_problems"] == 1
    assert "| raw_transactions | retry | 1 of 2 | started |" in shown["steps"]


def test_a_full_disk_starts_nothing_and_says_why(instance: dg.DagsterInstance, home: Home, csv: Path) -> None:
    platform = Platform(declared(csv, watchdog={"min_free_gib": 1e9}), instance)
    platform.tick("fraud_healing")
    csv.rename(csv.with_suffix(".away"))
    platform.run(["raw_transactions"])
    for sensor in ("fraud_healing", "fraud_new_data", "fraud_retrain"):
        tick = platform.tick(sensor)
        assert tick.requests == []
        assert "GiB are free" in tick.skipped


def test_a_rule_for_something_that_is_not_there_is_refused_when_the_graph_is_built(
    instance: dg.DagsterInstance, csv: Path
) -> None:
    rule = {"when": "raw.contrakt", "remedy": "retry"}
    with pytest.raises(
        SpecError, match=r"no stage or check raw\.contrakt; stages: .*raw_transactions.*; checks, .*contract"
    ):
        Platform(declared(csv, healing=[rule]), instance)


def green_run_with_a_failed_check(platform: Platform, passed: bool = False) -> str:
    """A run as stages with non-blocking checks make it: it goes well, and its check does not."""
    key = dg.AssetKey(["fraud", "raw_transactions"])

    @dg.asset(key=key, check_specs=[dg.AssetCheckSpec("amounts_look_right", asset=key)])
    def raw() -> dg.MaterializeResult:
        check = dg.AssetCheckResult(check_name="amounts_look_right", passed=passed, metadata={"mean": 7})
        return dg.MaterializeResult(check_results=[check])

    result = dg.materialize([raw], instance=platform.instance, tags=use_case_tags(platform.declaration))
    assert result.success
    return result.run_id


def test_what_a_person_ran_by_hand_is_told_and_not_run_again(platform: Platform, home: Home) -> None:
    @dg.asset(key=dg.AssetKey(["fraud", "rollback"]))
    def rollback() -> None:
        raise ValueError("no such version")

    tags = use_case_tags(platform.declaration)
    dg.materialize([rollback], instance=platform.instance, tags=tags, raise_on_error=False)
    assert platform.tick("fraud_healing").requests == []
    assert outcomes(home) == [("rollback", "none", 0, "alerted")]
    assert [alert["kind"] for alert in alerts(home)] == ["run_failed"]


def test_while_history_is_replayed_healing_waits_and_misses_nothing(platform: Platform, home: Home, csv: Path) -> None:
    from filelock import FileLock

    from mlplatform.stages.replaying import replay_lock

    csv.unlink()
    with FileLock(replay_lock(home, platform.declaration)):
        platform.run(["raw_transactions"])
        assert "a replay moves the time" in platform.tick("fraud_healing").skipped
    assert len(platform.tick("fraud_healing").requests) == 1


def test_a_rollback_that_a_sensor_asked_for_is_tried_again_by_its_own_job_with_its_own_words(
    platform: Platform, home: Home
) -> None:
    """Nothing was ever promoted here, so it fails; what matters is what is asked for next."""
    from mlplatform.stages.jobs import ROLLBACK_TAG
    from mlplatform.stages.rollback import rollback_config, rollback_job

    uc = platform.declaration
    words = rollback_config(uc, "v2 does worse", 1)
    tags = {**use_case_tags(uc), ROLLBACK_TAG: "fraud v2"}
    assert not platform.launch(rollback_job(uc), tags, config=words).success
    [request] = platform.tick("fraud_healing").requests
    assert request.job_name == rollback_job(uc)
    assert request.run_config == words
    assert dg.AssetKey(["fraud", "rollback"]) in (request.asset_selection or [])
    again = platform.launch(rollback_job(uc), dict(request.tags), list(request.asset_selection or []), config=words)
    assert not again.success
    platform.tick("fraud_healing")
    assert [step.outcome for step in ledger(home)][:3] == ["waiting", "started", "failed"]


def test_a_training_is_started_as_often_as_its_policy_says_healing_included(
    instance: dg.DagsterInstance, home: Home, csv: Path
) -> None:
    from mlplatform.stages.retrain_decision import DECISION_TAG

    policy = {"kind": "drift", "attempts": 2}
    platform = Platform(declared(csv, policy=policy), instance)
    platform.tick("fraud_healing")
    tags = {**use_case_tags(platform.declaration), DECISION_TAG: "d"}
    training_set = [dg.AssetKey(["fraud", "training_set"])]
    assert not platform.launch("fraud_train_to_deployment", tags, training_set).success
    assert not heal(platform).success
    assert platform.tick("fraud_healing").requests == []
    assert outcomes(home)[-1] == ("training_set", "retry", 1, "gave up")
