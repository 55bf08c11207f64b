"""The watchdog on a real Dagster instance: its records of sensors and ticks, and what people are told."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import orjson
import pytest
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from mlplatform.home import Home
from mlplatform.resources.sensor_states import daemon_silence, sensor_states
from mlplatform.serving.journal_losses import LossFile
from mlplatform.spec import Watchdog
from mlplatform.watchdog.checks import check_sensors
from mlplatform_tests.serving.test_journal import entry
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as opened:
        yield opened


def ticked(
    instance: dg.DagsterInstance,
    name: str,
    ago: float,
    failed: int = 0,
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
) -> None:
    """What the daemon leaves behind of a sensor: its state, one good tick, and then `failed` that failed."""
    origin = instance_origin(name)
    data = SensorInstigatorData(min_interval=30)
    if instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id()) is None:
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, status, data))
    ends = [TickStatus.SKIPPED, *[TickStatus.FAILURE] * failed]
    for number, end in enumerate(ends):
        instance.create_tick(
            TickData(
                instigator_origin_id=origin.get_id(),
                instigator_name=name,
                instigator_type=InstigatorType.SENSOR,
                status=end,
                error=SerializableErrorInfo("no file matches x.csv", [], None) if end == TickStatus.FAILURE else None,
                timestamp=time.time() - ago - 30 * (len(ends) - 1 - number),
                selector_id=origin.get_selector().get_id(),
            )
        )


def instance_origin(name: str) -> RemoteInstigatorOrigin:
    from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="mlplatform.definitions"))
    return RemoteRepositoryOrigin(location, "__repository__").get_instigator_origin(name)


def alerts(home: Home) -> list[str]:
    return [orjson.loads(line)["title"] for line in home.alert_log.read_bytes().splitlines()]


def test_a_sensor_that_stopped_and_one_that_fails_are_told_once(instance: dg.DagsterInstance, home: Home) -> None:
    ticked(instance, "fraud_new_data", ago=600)
    ticked(instance, "fraud_retrain", ago=5, failed=3)
    ticked(instance, "fraud_healing", ago=5)
    platform = Platform(small_fraud(), instance)
    for _ in range(2):
        said = platform.tick("fraud_watchdog").skipped
    # Building the definitions may take half a minute.
    silent = "sensor fraud_new_data has not ticked for N minutes (every 30 s)"
    assert silent in _without_minutes(said)
    assert [_without_minutes(title) for title in alerts(home)] == [
        silent,
        "the last 3 ticks of sensor fraud_retrain failed",
    ]


def _without_minutes(text: str) -> str:
    return re.sub(r"\d+ minutes", "N minutes", text)


def test_what_somebody_stopped_by_hand_and_other_use_cases_are_not_watched(instance: dg.DagsterInstance) -> None:
    ticked(instance, "fraud_new_data", ago=600, status=InstigatorStatus.STOPPED)
    ticked(instance, "demand_new_data", ago=600)
    names = {state.name for state in sensor_states(instance, "fraud")}
    assert names == {f"fraud_{role}" for role in ("retrain", "succession", "healing", "watchdog")}


def test_a_sensor_that_the_daemon_never_evaluated_is_told_once_the_others_have_ticked_for_minutes(
    instance: dg.DagsterInstance,
) -> None:
    for role in ("new_data", "retrain", "succession", "watchdog"):
        ticked(instance, f"fraud_{role}", ago=5, failed=20)
    [told] = [title for title in titles(instance) if "never ticked" in title]
    assert told.startswith("sensor fraud_healing has never ticked; others of its use case have for ")


def test_a_sensor_without_a_tick_is_not_missed_right_after_the_daemon_came_back(instance: dg.DagsterInstance) -> None:
    ticked(instance, "fraud_retrain", ago=4000)
    ticked(instance, "fraud_retrain", ago=5)
    assert not [title for title in titles(instance) if "never ticked" in title]


def titles(instance: dg.DagsterInstance) -> list[str]:
    now = datetime.now(UTC).replace(tzinfo=None)
    return [finding.title for finding in check_sensors(sensor_states(instance, "fraud"), Watchdog(), now)]


def test_all_is_well_where_nothing_is_wrong(instance: dg.DagsterInstance, home: Home) -> None:
    platform = Platform(small_fraud(), instance)
    assert platform.tick("fraud_watchdog").skipped == "disk, sensors, sources, journal and services are well"
    assert not home.alert_log.exists()


def test_predictions_that_a_dead_service_could_not_write_down_reach_people_once(
    instance: dg.DagsterInstance, home: Home
) -> None:
    from mlplatform.cli.doctor import findings
    from mlplatform.cli.status import read_status
    from mlplatform.serving.journal import Journal

    home.journal("fraud").parent.mkdir(parents=True, exist_ok=True)
    home.journal("fraud").write_text("a file where the folder should be")
    service = Journal(home.journal("fraud"))
    service.put(entry(rows=4))
    service.close()

    platform = Platform(small_fraud(), instance)
    for _ in range(2):
        said = platform.tick("fraud_watchdog").skipped
    assert "fraud: 4 answered predictions were not kept: 0 turned away by a full queue, 4 refused by the disk" in said
    assert alerts(home) == [said]
    assert str(read_status(platform.declaration, home).lost_predictions) in said
    assert any("4 answered predictions" in each.detail and not each.good for each in findings(home))


def test_losses_of_two_use_cases_are_both_told_while_the_daemon_is_dead(
    instance: dg.DagsterInstance, home: Home
) -> None:
    from mlplatform.cli.watch import DaemonWatch, tell_all
    from mlplatform.watchdog.seen import Seen

    for name in ("fraud", "demand"):
        LossFile(home.journal(name)).note(dropped=3, failed=0)
    tell_all(DaemonWatch(home, print).look(), Seen())
    told = {title.partition(":")[0] for title in alerts(home) if "were not kept" in title}
    assert told == {"fraud", "demand"}


def test_losses_of_days_ago_are_history(instance: dg.DagsterInstance, home: Home) -> None:
    from mlplatform.stages.alerting import wall_clock
    from mlplatform.stages.watchdog import look

    LossFile(home.journal("fraud")).note(dropped=3, failed=0)
    fraud, now = small_fraud(), wall_clock()
    assert [each.subject for each in look(fraud, instance, now)] == ["journal losses"]
    assert list(look(fraud, instance, now + timedelta(days=1, minutes=1))) == []


def test_a_daemon_that_was_never_heard_of_or_long_ago_is_dead(instance: dg.DagsterInstance) -> None:
    assert daemon_silence(instance) is None
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 600, "SENSOR", "id", errors=[]))
    silence = daemon_silence(instance)
    assert silence is not None
    assert timedelta(minutes=9) < silence < timedelta(minutes=12)


def test_up_sees_a_dead_daemon_and_tells_it_and_sees_nothing_while_it_lives(
    instance: dg.DagsterInstance, home: Home
) -> None:
    from mlplatform.cli.watch import DaemonWatch, tell_all
    from mlplatform.watchdog.seen import Seen

    watch = DaemonWatch(home, print)
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 600, "SENSOR", "id", errors=[]))
    [finding] = watch.look()
    assert "Dagster's daemon has not been heard of for 10 minutes" in finding.title
    tell_all([finding], Seen())
    assert finding.title in alerts(home)
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "id", errors=[]))
    assert watch.look() == []
