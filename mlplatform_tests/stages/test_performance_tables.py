"""What a performance report leaves in the lake when it is made again."""

import pandas as pd
import pytest

from mlplatform.lake.lake import Lake
from mlplatform.stages.performance_report import performance_table, store_performance
from mlplatform_tests.small_fraud import small_fraud

TABLE = performance_table(small_fraud())
WEEKS = [pd.Timestamp("2018-08-06"), pd.Timestamp("2018-08-13")]


def stored(lake: Lake, as_of: str, states: list[str]) -> dict[str, str]:
    rows = pd.DataFrame({"model_version": 1, "role": "champion", "window_start": WEEKS[: len(states)], "state": states})
    lake.commit(lambda con: store_performance(con, TABLE, rows, pd.Timestamp(as_of)), "performance")
    with lake.read() as con:
        found = con.execute(f"SELECT window_start, state FROM {TABLE} ORDER BY 1").fetchall()
    return {f"{start:%m-%d}": state for start, state in found}


@pytest.mark.parametrize("again", ["2018-08-27", "2018-09-03"])
def test_a_window_is_told_again_when_more_is_known(lake: Lake, again: str) -> None:
    stored(lake, "2018-08-27", ["provisional", "provisional"])
    assert stored(lake, again, ["mature", "provisional"]) == {"08-06": "mature", "08-13": "provisional"}


def test_a_report_made_again_for_an_earlier_day_takes_back_nothing(lake: Lake) -> None:
    stored(lake, "2018-08-27", ["mature"])
    assert stored(lake, "2018-08-13", ["provisional", "provisional"]) == {"08-06": "mature", "08-13": "provisional"}
