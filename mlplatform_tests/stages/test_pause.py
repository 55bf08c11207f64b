from datetime import datetime, timedelta

import pytest

from mlplatform.cli.pause import duration
from mlplatform.errors import SpecError
from mlplatform.lake.lake import Lake
from mlplatform.spec import load_declaration
from mlplatform.stages.pause import current_pause, pause, pause_table, release

UC = load_declaration("fraud")
NOON = datetime(2018, 8, 1, 12)


def rows(lake: Lake) -> int:
    with lake.read() as con:
        return con.execute(f"SELECT count(*) FROM {pause_table(UC)}").fetchall()[0][0]


def test_nothing_is_paused_before_anybody_paused_it(lake: Lake) -> None:
    assert current_pause(UC, lake, NOON) is None
    assert release(UC, lake, "me") == 0


def test_a_pause_without_an_end_holds_until_it_is_released(lake: Lake) -> None:
    pause(UC, lake, None, "labels are late", "me")
    held = current_pause(UC, lake, NOON + timedelta(days=9999))
    assert held is not None
    assert (held.reason, held.by, held.until) == ("labels are late", "me", None)
    assert release(UC, lake, "me") == 1
    assert current_pause(UC, lake, NOON) is None


def test_a_pause_ends_when_the_time_of_the_data_reaches_its_end(lake: Lake) -> None:
    pause(UC, lake, NOON, "the holidays", "me")
    assert current_pause(UC, lake, NOON - timedelta(microseconds=1)) is not None
    assert current_pause(UC, lake, NOON) is None


def test_of_several_pauses_the_longest_counts(lake: Lake) -> None:
    pause(UC, lake, NOON, "short", "me")
    pause(UC, lake, None, "for good", "healing")
    pause(UC, lake, NOON + timedelta(days=1), "longer", "me")
    held = current_pause(UC, lake, NOON)
    assert held is not None
    assert held.reason == "for good"
    assert "until it is released" in str(held)


def test_the_same_pause_is_written_once_until_it_is_released(lake: Lake) -> None:
    for _ in range(2):
        pause(UC, lake, None, "again", "me")
    assert rows(lake) == 1
    release(UC, lake, "me")
    pause(UC, lake, None, "again", "me")
    assert rows(lake) == 2


@pytest.mark.parametrize(("text", "span"), [("7d", timedelta(days=7)), ("12h", timedelta(hours=12))])
def test_a_duration_is_days_or_hours(text: str, span: timedelta) -> None:
    assert duration(text) == span


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0d", "7 days", "1w"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SpecError, match="7d or 12h"):
        duration(text)


@pytest.mark.parametrize("text", ["99999999d", "99999999h", "1" + "0" * 400 + "d"])
def test_a_pause_that_no_calendar_holds_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="ten years"):
        duration(text)
