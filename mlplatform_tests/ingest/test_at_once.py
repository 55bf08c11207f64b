"""Two runs of one source at once, in processes of their own: none takes back what the other has stored."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.lock import write_lock
from mlplatform_tests.feeding import CONTRACT, Feeding

# Tells that a day is being checked: what is left is to look whether another day has its keys.
TELLS = """
    @pa.dataframe_check
    def told(cls, rows):
        from pathlib import Path

        Path({folder!r}, f"checked-{{rows['event_time'].iloc[0].date()}}").touch()
        return rows["reading_id"] == rows["reading_id"]
"""
# Row 1 on every day, as a source has it that numbers anew each day.
DAILY = """
from datetime import date, timedelta
import pyarrow as pa


class Reader:
    def __init__(self, params, spec):
        self._spec = spec

    def available(self):
        return date(2024, 1, 1), date(2024, 1, 3)

    def read(self, start, end):
        days = [start + timedelta(days=n) for n in range((end - start).days)]
        return pa.table({{
            "reading_id": [1] * len(days),
            "event_time": [f"{{day}} 10:00:00" for day in days],
            "sensor": ["a"] * len(days),
            "value": [float(day.day) for day in days],
        }})

    def fingerprint(self):
        return "x"
"""
# Rows 0 to 3; whoever is told to waits behind the first of them.
GOES_ON = """
import time
from pathlib import Path

import pyarrow as pa


def readings(params, cursor):
    for number in range(int(cursor or 0), 4):
        while number == 1 and params["waits"] and not Path({folder!r}, "go").exists():
            time.sleep(0.01)
        yield pa.table({{
            "reading_id": [number], "event_time": ["2024-01-01 10:00:00"], "sensor": ["a"], "value": [params["value"]]
        }}), str(number + 1)
"""
# All of it in every run; whoever is told to waits after it has been read.
WHOLE = """
import time
from pathlib import Path

import pyarrow as pa


def readings(params, cursor):
    Path({folder!r}, "reads").touch()
    while params["waits"] and not Path({folder!r}, "go").exists():
        time.sleep(0.01)
    yield pa.table({{
        "reading_id": [0], "event_time": ["2024-01-01 10:00:00"], "sensor": ["a"], "value": [params["value"]]
    }})
"""


def wait_for(ready: Callable[[], Any]) -> None:
    until = time.monotonic() + 240
    while not ready():
        assert time.monotonic() < until, "the other process was never where it was waited for"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_new_key_that_two_days_have_is_the_row_of_one_day_and_the_other_is_in_quarantine(
    tmp_path: Path, home: Home
) -> None:
    (tmp_path / "source.py").write_text(DAILY.format(folder=str(tmp_path)))
    days = ["2024-01-01", "2024-01-02"]
    given = {"kind": "python", "partition": "day"}
    runs = [Feeding(tmp_path, given | {"start": day, "end": day}) for day in days]
    (tmp_path / "contract.py").write_text(CONTRACT + TELLS.format(folder=str(tmp_path)))
    lake = Lake.at(home)
    lake.create()
    with write_lock(lake.locks, 60):
        children = [run.ingesting() for run in runs]
        wait_for(lambda: all((tmp_path / f"checked-{day}").exists() for day in days))
        # Both look for the key, find none, and wait for the lock.
        time.sleep(3)
    assert sorted(child.wait(240) for child in children) == [0, 1]
    ((number, value),) = runs[0].rows("reading_id, value")
    assert number == 1
    ((reason, kept),) = runs[0].quarantined()
    assert "is the reading_id of a row stored for another day" in reason
    assert f"2024-01-0{3 - int(value)} 10:00:00" in kept


def overtaken(folder: Path, source: str, waits: Callable[[Feeding], bool]) -> Feeding:
    """The quick one of two runs: it began and ended while the other, which then failed, waited."""
    (folder / "source.py").write_text(source.format(folder=str(folder)))
    slow, quick = (
        Feeding(folder, {"kind": "python", "function": "readings", "params": {"waits": is_slow, "value": value}})
        for is_slow, value in ((True, 1.0), (False, 2.0))
    )
    slow.declaration  # noqa: B018
    child = slow.ingesting()
    wait_for(lambda: waits(slow))
    quick.ingested()
    (folder / "go").touch()
    assert child.wait(240) == 1
    return quick


@pytest.mark.slow
def test_a_run_without_a_cursor_that_was_overtaken_puts_nothing_older_over_what_is_newer(
    tmp_path: Path, home: Home
) -> None:
    quick = overtaken(tmp_path, WHOLE, lambda slow: (tmp_path / "reads").exists())
    assert quick.rows() == [(0, "a", 2.0)]


@pytest.mark.slow
def test_a_run_that_was_overtaken_stores_nothing_and_the_cursor_never_goes_back(tmp_path: Path, home: Home) -> None:
    quick = overtaken(tmp_path, GOES_ON, lambda slow: slow.cursor() == "1")
    assert quick.cursor() == "4"
    assert quick.rows() == [(0, "a", 1.0), *((number, "a", 2.0) for number in (1, 2, 3))]
