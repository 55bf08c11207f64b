"""The daily comparison of served features with the lake's, as the daemon evaluates it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from mlplatform.home import Home
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud


@pytest.fixture
def platform(prepared: Home) -> Iterator[Platform]:
    with dagster_home(prepared.dagster) as instance:
        yield Platform(small_fraud(), instance)


def tick(platform: Platform, day: int) -> dg.RunRequest | str:
    schedule = platform.definitions.resolve_schedule_def("fraud_daily_skew")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    moment = datetime(2026, 3, day, 3, 17, tzinfo=UTC)
    context = dg.build_schedule_context(instance=platform.instance, scheduled_execution_time=moment)
    data = schedule.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else str(data.skip_message)


def deploy(home: Home) -> None:
    write_pointer(home.deployment("fraud"), Pointer("fraud", "fraud:v1", "1", str(Path("nowhere")), "2026-01-01"))


def test_it_runs_once_a_day(platform: Platform, home: Home) -> None:
    deploy(home)
    asked = [tick(platform, day) for day in (1, 1, 2)]
    assert [each.run_key for each in asked if isinstance(each, dg.RunRequest)] == ["2026-03-01"] * 2 + ["2026-03-02"]


def test_its_job_takes_the_journal_in_before_it_compares(platform: Platform) -> None:
    job = platform.definitions.resolve_job_def("fraud_served_skew")
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == {"prediction_log", "skew_report"}


def test_before_anything_is_deployed_there_is_nothing_to_compare(platform: Platform) -> None:
    assert "nobody has been answered" in str(tick(platform, 1))
