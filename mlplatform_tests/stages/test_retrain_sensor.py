"""One decision, one training: whatever happens to the daemon, and whatever else is running."""

import uuid
from collections.abc import Iterator

import dagster as dg
import pandas as pd
import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform.ml.decision import Champion, Decision, WindowEvidence, decide
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform.spec import Declaration, DriftPolicy
from mlplatform.stages.champion import champion_table
from mlplatform.stages.jobs import jobs, use_case_tags
from mlplatform.stages.retrain import retrain_sensor, settled
from mlplatform.stages.retrain_decision import DECISION_TAG, REASON_TAG, WINDOW_TAG, keep_decision, newest_decision
from mlplatform.stages.skew_block import accept_skew, skew_report_table
from mlplatform_tests.small_fraud import dagster_home, small_fraud

AS_OF = pd.Timestamp("2018-07-01")
DIED = dg.DagsterRunStatus.FAILURE


@pytest.fixture
def uc() -> Declaration:
    return small_fraud(policy={"kind": "drift", "attempts": 2})


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as opened:
        yield opened


def decision(share: float = 0.5, as_of: pd.Timestamp = AS_OF) -> Decision:
    ends = [as_of - pd.Timedelta(weeks=week) for week in range(3)]
    windows = [WindowEvidence(end - pd.Timedelta(weeks=1), end, True, share) for end in ends]
    champion = Champion("1", as_of - pd.Timedelta(days=60), 20)
    policy = DriftPolicy(kind="drift")
    return decide("fraud", windows, policy, as_of=as_of, champion=champion, new_labelled_rows=5000)


def keep(uc: Declaration, made: Decision, as_of: pd.Timestamp = AS_OF) -> None:
    Lake.at(Home.current()).commit(lambda con: keep_decision(con, uc, made, as_of), "decision")


def tick(uc: Declaration, instance: dg.DagsterInstance) -> tuple[list[dg.RunRequest], str]:
    """As a daemon that has just started: no cursor, nothing remembered."""
    data = retrain_sensor(uc, jobs(uc)).evaluate_tick(dg.build_sensor_context(instance=instance))
    return list(data.run_requests or []), data.skip_message or ""


def started(
    instance: dg.DagsterInstance, tags: dict[str, str], status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
) -> dg.DagsterRun:
    """A run as a daemon would have launched it."""
    run = dg.DagsterRun(job_name="fraud_train_to_deployment", run_id=str(uuid.uuid4()), tags=tags, status=status)
    instance.add_run(run)
    return run


def compared(uc: Declaration, as_of: pd.Timestamp) -> None:
    """What the comparison of a training as of a moment leaves behind; its outcome does not matter here."""
    row = pd.DataFrame({"as_of": [as_of], "version_after": [0]})
    Lake.at(Home.current()).commit(lambda con: append_rows(con, champion_table(uc), row), "comparison")


def test_a_training_says_why_by_which_window_and_for_which_decision(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    made = decision()
    keep(uc, made)
    [request], _ = tick(uc, instance)
    assert request.tags[DECISION_TAG] == made.decision_id
    assert request.tags[REASON_TAG] == made.reason
    assert request.tags[WINDOW_TAG] == "2018-06-24T00:00:00/2018-07-01T00:00:00"
    assert request.tags["mlplatform/as_of"] == AS_OF.isoformat()


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_decision_to_wait_starts_nothing_and_the_tick_says_why(
    uc: Declaration, instance: dg.DagsterInstance, share: float
) -> None:
    keep(uc, decision(share))
    requests, said = tick(uc, instance)
    assert requests == []
    assert said.startswith("wait: ")
    assert "below min_drift_importance 10%" in said


def test_a_daemon_that_restarts_before_the_run_began_asks_for_the_very_same_run(
    uc: Declaration, prepared: Home
) -> None:
    """Dagster starts a run key once, also when the daemon died between the tick and the launch."""
    keep(uc, decision())
    keys = []
    for _ in range(2):
        with dagster_home(prepared.dagster) as fresh:
            [request], _ = tick(uc, fresh)
            keys.append(request.run_key)
    assert keys[0] == keys[1]


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTED", "SUCCESS"])
def test_a_daemon_that_restarts_after_the_run_began_starts_no_other(
    uc: Declaration, prepared: Home, status: str
) -> None:
    keep(uc, decision())
    with dagster_home(prepared.dagster) as before:
        [request], _ = tick(uc, before)
        started(before, dict(request.tags), dg.DagsterRunStatus(status))
    with dagster_home(prepared.dagster) as after:
        requests, said = tick(uc, after)
    assert requests == []
    assert "is not finished" in said or "has acted on decision" in said


def test_while_any_run_of_the_use_case_is_in_progress_the_decision_waits_and_is_then_acted_on_once(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    keep(uc, decision())
    ingest = started(instance, use_case_tags(uc))
    requests, said = tick(uc, instance)
    assert (requests, said) == ([], f"run {ingest.run_id[:8]} of fraud is not finished")
    instance.report_run_canceled(ingest)
    [request], _ = tick(uc, instance)
    started(instance, dict(request.tags), dg.DagsterRunStatus.SUCCESS)
    compared(uc, AS_OF)
    assert tick(uc, instance)[0] == []


def test_a_decision_that_has_led_to_a_comparison_is_done_also_for_an_instance_that_knows_no_run(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    keep(uc, decision())
    compared(uc, AS_OF)
    requests, said = tick(uc, instance)
    assert requests == []
    assert "has led to a comparison" in said


def test_a_decision_is_settled_by_a_comparison_and_not_by_a_training_that_broke(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    keep(uc, decision())
    assert not settled(uc)
    compared(uc, AS_OF)
    assert settled(uc)


def test_while_a_skew_is_open_the_decision_waits_and_is_acted_on_once_it_is_accepted(
    uc: Declaration, instance: dg.DagsterInstance, home: Home
) -> None:
    keep(uc, decision())
    write_pointer(home.deployment("fraud"), Pointer("fraud", "fraud:v1", "1", "bundle", "2018-06-01T00:00:00"))
    lake, seen = Lake.at(home), pd.Timestamp.now("UTC").tz_localize(None)
    row = pd.DataFrame({"compared_at": [seen], "skewed": [3], "skewed_columns": ["amount"], "newest_skewed_at": [seen]})
    lake.commit(lambda con: append_rows(con, skew_report_table(uc), row), "skew")
    requests, said = tick(uc, instance)
    assert requests == []
    assert "3 served values of amount are not those that training reads" in said
    accept_skew(uc, lake, "the gateway is mended", "a person")
    assert [request.tags[DECISION_TAG] for request in tick(uc, instance)[0]] == [kept_id(uc)]


def kept_id(uc: Declaration) -> str:
    kept = newest_decision(uc, Lake.at(Home.current()))
    assert kept is not None
    return str(kept["decision_id"])


def test_a_training_that_died_is_left_to_healing_which_alone_tries_again(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    keep(uc, decision())
    [request], _ = tick(uc, instance)
    started(instance, dict(request.tags), DIED)
    requests, said = tick(uc, instance)
    assert requests == []
    assert "fraud_healing has not looked at it yet" in said


def test_a_newer_window_is_a_new_decision_with_attempts_of_its_own(
    uc: Declaration, instance: dg.DagsterInstance
) -> None:
    keep(uc, decision())
    [first], _ = tick(uc, instance)
    for _ in range(uc.spec.policy.attempts):
        started(instance, dict(first.tags), DIED)
    later = AS_OF + pd.Timedelta(weeks=1)
    keep(uc, decision(as_of=later), later)
    [request], _ = tick(uc, instance)
    assert request.tags[DECISION_TAG] != first.tags[DECISION_TAG]


def test_judging_the_same_facts_again_keeps_one_row(uc: Declaration, prepared: Home) -> None:
    for _ in range(2):
        keep(uc, decision())
    lake = Lake.at(prepared)
    with lake.read() as con:
        assert con.execute("SELECT count(*) FROM fraud.retrain_decision").fetchall() == [(1,)]


def test_a_table_of_decisions_from_before_they_named_their_window_is_read_and_written(
    uc: Declaration, prepared: Home
) -> None:
    lake, made = Lake.at(prepared), decision()
    old = pd.DataFrame(
        {
            "as_of": [AS_OF - pd.Timedelta(days=1)],
            "decision_id": ["old"],
            "verdict": ["wait"],
            "reason": ["then"],
            "evidence": ["{}"],
            "decided_at": [AS_OF],
        }
    )
    lake.commit(lambda con: append_rows(con, "fraud.retrain_decision", old), "before")
    before = newest_decision(uc, lake)
    keep(uc, made)
    after = newest_decision(uc, lake)
    assert before is not None
    assert after is not None
    assert before["window_end"] is None
    assert (after["window_start"], after["window_end"]) == made.window
