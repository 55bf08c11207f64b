"""What is older than `journal.keep_days` leaves every table that holds it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import outcomes_table, prediction_table
from mlplatform.lake.tables import append_rows
from mlplatform.stages.prediction_log import _forget, _forget_unreadable
from mlplatform_tests.small_fraud import small_fraud

UC = small_fraud(journal={"keep_days": 30})
NOW = datetime.now(UTC).replace(tzinfo=None)
OLD, FRESH = NOW - timedelta(days=31), NOW - timedelta(days=29)


def keep(lake: Lake, table: str, **columns: list[Any]) -> None:
    lake.commit(lambda con: append_rows(con, table, pd.DataFrame(columns)), "rows")


def ids(lake: Lake, table: str) -> list[str]:
    with lake.read() as con:
        return [name for (name,) in con.execute(f"SELECT prediction_id FROM {table} ORDER BY 1").fetchall()]


def test_old_predictions_go_with_their_outcomes(lake: Lake) -> None:
    log, outcomes = prediction_table(UC.spec), outcomes_table(UC.spec)
    keep(lake, log, prediction_id=["fresh", "newest", "old"], predicted_at=[FRESH, NOW, OLD])
    keep(lake, outcomes, prediction_id=["fresh", "old"])
    assert _forget(UC, lake) == 1
    assert ids(lake, log) == ["fresh", "newest"]
    assert ids(lake, outcomes) == ["fresh"]


def test_those_of_a_service_that_has_gone_quiet_go_too(lake: Lake) -> None:
    keep(lake, prediction_table(UC.spec), prediction_id=["old", "older"], predicted_at=[OLD, OLD - timedelta(days=900)])
    assert _forget(UC, lake) == 2
    assert ids(lake, prediction_table(UC.spec)) == []


def test_lines_that_were_no_entries_go_by_the_time_of_their_reading(lake: Lake) -> None:
    table = f"{prediction_table(UC.spec)}_unreadable"
    _forget_unreadable(UC, lake)
    keep(lake, table, prediction_id=["fresh", "old"], read_at=[FRESH, OLD])
    _forget_unreadable(UC, lake)
    assert ids(lake, table) == ["fresh"]
