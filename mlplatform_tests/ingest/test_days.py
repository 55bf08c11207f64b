from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.ingest.days import Days, declared_days, next_days
from mlplatform.spec import FilesSource

FIRST = date(2018, 4, 1)
SOURCE = FilesSource(
    kind="files", name="rows", path="rows.csv", key=["id"], start="2018-04-01", max_days_per_run=7, look_back_days=20
)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def test_before_the_first_decision_all_days_are_read_at_once() -> None:
    assert next_days(SOURCE, Days(day(0), day(100)), covered=None, changed=True) == Days(day(0), day(100))


def test_after_it_time_goes_on_in_steps_and_the_newest_day_is_read_again() -> None:
    assert next_days(SOURCE, Days(day(0), day(100)), covered=day(50), changed=False) == Days(day(49), day(57))


def test_without_new_days_and_without_a_change_nothing_is_read() -> None:
    assert next_days(SOURCE, Days(day(0), day(50)), covered=day(50), changed=False) is None


def test_a_changed_source_is_read_again_as_far_back_as_declared() -> None:
    """Late rows, and labels that became known weeks after their events."""
    assert next_days(SOURCE, Days(day(0), day(50)), covered=day(50), changed=True) == Days(day(30), day(50))


def test_a_source_without_rows_asks_for_nothing() -> None:
    assert next_days(SOURCE, None, covered=day(50), changed=True) is None


def test_days_outside_of_the_declaration_do_not_exist() -> None:
    source = SOURCE.model_copy(update={"end": "2018-04-10"})
    assert declared_days(source, (day(-5), day(30))) == Days(day(0), day(10))
    assert declared_days(source, (day(20), day(30))) is None
    assert declared_days(source, None) is None


@given(st.integers(1, 60), st.integers(1, 20))
def test_asking_again_and_again_covers_every_day_and_then_stops(days: int, step: int) -> None:
    source = SOURCE.model_copy(update={"max_days_per_run": step})
    there, covered, read = Days(day(0), day(days)), day(0), set[str]()
    for _ in range(days + 1):
        wanted = next_days(source, there, covered, changed=False)
        if wanted is None:
            break
        read |= set(wanted.keys())
        covered = wanted.end
    assert read == set(there.keys())
    assert next_days(source, there, covered, changed=False) is None


def test_months_are_called_by_their_first_day() -> None:
    assert Days(date(2018, 4, 29), date(2018, 6, 2)).keys("month") == ["2018-04-01", "2018-05-01", "2018-06-01"]


def test_a_source_without_a_first_day_has_all_the_days_that_are_there() -> None:
    source = SOURCE.model_copy(update={"start": None, "partition": "none"})
    assert declared_days(source, (day(-5000), day(30))) == Days(day(-5000), day(30))


@pytest.mark.parametrize("size", [1, 7, 31, 1000])
def test_chunks_are_the_range_without_gap_or_overlap(size: int) -> None:
    whole = Days(day(0), day(100))
    assert [key for chunk in whole.chunks(size) for key in chunk.keys()] == whole.keys()  # noqa: SIM118 - not a dict
