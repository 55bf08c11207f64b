from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.errors import DiskFullError
from mlplatform.home import Home
from mlplatform.spec import Freshness, Watchdog
from mlplatform.watchdog.checks import (
    Finding,
    SensorState,
    SourceState,
    check_backlog,
    check_disk,
    check_sensors,
    check_sources,
    require_space,
)
from mlplatform.watchdog.seen import Seen, follow

NOW = datetime(2024, 3, 1, 12)
LAST_YEAR = datetime(2018, 4, 30)
DAY = timedelta(days=1)


def sensor(quiet: timedelta, seconds: int = 30, failed: int = 0) -> SensorState:
    return SensorState("fraud_new_data", timedelta(seconds=seconds), NOW - quiet, failed, "no file matches x.csv")


def source(name: str, event: datetime | None, load: datetime | None = NOW, complete: bool = False, **limits: float):
    return SourceState(name, Freshness(**limits), event, load, complete)


def subjects(findings) -> list[str]:
    return [finding.subject for finding in findings]


@pytest.mark.parametrize(
    ("quiet", "seconds", "silent"), [(299, 30, False), (301, 30, True), (119, 5, False), (121, 5, True)]
)
def test_a_sensor_has_stopped_after_ten_of_its_intervals_and_at_least_two_minutes(
    quiet: int, seconds: int, silent: bool
) -> None:
    found = subjects(check_sensors([sensor(timedelta(seconds=quiet), seconds)], Watchdog(), NOW))
    assert found == (["sensor fraud_new_data silent"] if silent else [])


@pytest.mark.parametrize(("others_since", "silent"), [(None, False), (299, False), (301, True)])
def test_a_sensor_that_never_ticked_is_silent_once_others_have_ticked_that_long(
    others_since: int | None, silent: bool
) -> None:
    states = [SensorState("new", timedelta(seconds=30), None)]
    if others_since is not None:
        states.append(replace(sensor(timedelta(0)), ticking_since=NOW - timedelta(seconds=others_since)))
    assert subjects(check_sensors(states, Watchdog(), NOW)) == (["sensor new silent"] if silent else [])


@pytest.mark.parametrize(("failed", "wrong"), [(2, False), (3, True)])
def test_ticks_that_fail_in_a_row_are_told_with_what_they_said(failed: int, wrong: bool) -> None:
    found = list(check_sensors([sensor(timedelta(0), failed=failed)], Watchdog(), NOW))
    assert bool(found) == wrong
    assert all(finding.advice == "no file matches x.csv" for finding in found)


def test_a_source_is_silent_by_the_clock_on_the_wall_however_old_its_events_are() -> None:
    fresh = source("a", LAST_YEAR, load=NOW - timedelta(hours=5), max_silence_hours=6)
    stale = source("b", LAST_YEAR, load=NOW - timedelta(hours=7), max_silence_hours=6)
    assert subjects(check_sources([fresh, stale], NOW)) == ["source b silent"]


def test_a_source_is_behind_by_the_time_of_the_data_also_when_history_is_replayed() -> None:
    states = [source("sales", LAST_YEAR), source("weather", LAST_YEAR - 3 * DAY, max_lag_days=2)]
    [finding] = check_sources(states, NOW)
    assert finding.subject == "source weather behind"
    assert "3.0 days before the newest source" in finding.title


def test_a_source_that_has_reached_its_declared_end_is_never_stale() -> None:
    done = source("a", LAST_YEAR, load=LAST_YEAR, complete=True, max_silence_hours=1, max_lag_days=1)
    assert subjects(check_sources([done, source("b", NOW)], NOW)) == []


def test_a_source_without_rows_yet_is_no_finding_of_freshness() -> None:
    assert subjects(check_sources([source("a", None, None, max_silence_hours=1, max_lag_days=1)], NOW)) == []


def test_a_full_disk_is_told_and_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "not" / "there" / "yet")
    assert subjects(check_disk(home, Watchdog(min_free_gib=0))) == []
    require_space(home, Watchdog(min_free_gib=0))
    with pytest.raises(DiskFullError, match="GiB are free"):
        require_space(home, Watchdog(min_free_gib=1e9))


def test_predictions_that_pile_up_are_a_backlog(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert subjects(check_backlog(home, "fraud", Watchdog())) == []
    home.journal("fraud").mkdir(parents=True)
    (home.journal("fraud") / "1.jsonl").write_bytes(b"x" * 2**20)
    (home.journal("fraud") / "2.jsonl").write_bytes(b"x" * 2**20)
    assert subjects(check_backlog(home, "fraud", Watchdog(max_journal_mib=2))) == []
    assert subjects(check_backlog(home, "fraud", Watchdog(max_journal_mib=1.5))) == ["journal"]


DISK = Finding("disk", "full", "")


def keys(minutes: list[int], wrong: list[bool], reminders: int) -> list[str]:
    seen, told = Seen(), []
    for minute, is_wrong in zip(minutes, wrong, strict=True):
        seen, now = Seen.parse(seen.stored()), NOW + timedelta(minutes=minute)
        seen, said = follow(seen, [DISK] if is_wrong else [], now, reminders)
        told += [key for key, _ in said]
    return told


def test_what_stays_wrong_is_told_once_and_reminded_of_once_a_day_at_most_as_often_as_declared() -> None:
    minutes = list(range(0, 10 * 24 * 60, 60))
    assert len(set(keys(minutes, [True] * len(minutes), reminders=3))) == 4


def test_what_was_well_in_between_is_told_again() -> None:
    assert len(set(keys([0, 1, 2, 3], [True, True, False, True], reminders=0))) == 2


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 3))
def test_people_are_told_at_most_once_per_stretch_and_day(wrong: list[bool], reminders: int) -> None:
    minutes = [number * 300 for number in range(len(wrong))]
    stretches = sum(b and not a for a, b in zip([False, *wrong], wrong, strict=False))
    assert stretches <= len(set(keys(minutes, wrong, reminders))) <= stretches * (1 + reminders)
