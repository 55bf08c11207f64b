"""Days of the journal as partitions: which there are, which a run is about."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError
from mlplatform.spec import Declaration, load_declaration
from mlplatform.stages.challenge_days import Challenge, challenge_day_tags, challenge_span, whole_days
from mlplatform.stages.event_days import event_days

AS_OF = pd.Timestamp("2018-08-01")
TIMES = st.datetimes(datetime(2018, 1, 1), datetime(2018, 3, 1))


@pytest.fixture(scope="module")
def uc() -> Declaration:
    return load_declaration("fraud")


def keys(uc: Declaration, now: str) -> list[str]:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return list(event_days(uc).get_partition_keys(current_time=moment))


def test_there_is_a_partition_for_every_day_from_the_sources_first_to_the_present_one(uc: Declaration) -> None:
    found = keys(uc, "2019-01-02T08:00")
    assert (found[0], found[-1]) == ("2018-04-01", "2019-01-02")


def test_where_no_source_declares_a_first_day_every_day_since_1970_can_be_chosen() -> None:
    assert keys(load_declaration("electricity"), "1970-01-03")[0] == "1970-01-01"


@pytest.mark.parametrize(
    ("tags", "span"),
    [
        ({"dagster/partition": "2018-06-12"}, ("2018-06-12", "2018-06-13")),
        (
            {"dagster/asset_partition_range_start": "2018-06-10", "dagster/asset_partition_range_end": "2018-06-12"},
            ("2018-06-10", "2018-06-13"),
        ),
        ({}, ("2018-07-01", "2018-07-02 12:00")),
    ],
)
def test_the_days_of_a_run_come_before_its_configuration(
    uc: Declaration, tags: dict[str, str], span: tuple[str, str]
) -> None:
    config = Challenge(first="2018-07-01", last="2018-07-02 12:00")
    assert challenge_span(uc, tags, config, AS_OF) == tuple(map(pd.Timestamp, span))


def test_without_days_and_times_a_run_is_about_the_latest_sixteen_weeks(uc: Declaration) -> None:
    assert challenge_span(uc, {}, Challenge(), AS_OF) == (AS_OF - timedelta(weeks=16), AS_OF)


@pytest.mark.parametrize(("first", "last"), [("2018-07-02", "2018-07-01"), ("soon", "2018-07-01")])
def test_times_that_leave_nothing_or_say_nothing_are_refused(uc: Declaration, first: str, last: str) -> None:
    with pytest.raises(ArtifactError, match=r"there are none|are times like"):
        challenge_span(uc, {}, Challenge(first=first, last=last), AS_OF)


def test_only_days_that_there_are_become_a_range(uc: Declaration) -> None:
    tags = challenge_day_tags(uc, pd.Timestamp("2018-03-01"), pd.Timestamp("2018-04-03"))
    assert list(tags.values()) == ["2018-04-01", "2018-04-02"]
    assert challenge_day_tags(uc, pd.Timestamp("2018-03-01"), pd.Timestamp("2018-03-02")) == {}


@given(TIMES, TIMES)
def test_whole_days_are_those_of_which_no_moment_is_left_out(first: datetime, last: datetime) -> None:
    every = [datetime(2017, 12, 30) + timedelta(days=i) for i in range(70)]
    inside = [day for day in every if first <= day and day + timedelta(days=1) <= last]
    assert list(whole_days(first, last)) == [str(day.date()) for day in inside]
