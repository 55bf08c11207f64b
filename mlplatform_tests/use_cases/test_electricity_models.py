"""The electricity use case's spine and features: half-hours, kinds of days, and forecasts as of then."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.lake.lake import Lake
from mlplatform.lake.leakage import check_leakage
from mlplatform.lake.tables import replace_table
from mlplatform_tests.use_cases.compiled import Models, compile_models

FIRST = pd.Timestamp("2024-01-01")  # a Monday


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    return compile_models("electricity", tmp_path_factory.mktemp("electricity"))


def at(day: float) -> pd.Timestamp:
    return FIRST + pd.Timedelta(days=day)


def raw(demand: Any, calendar_until: int = 400, holidays: tuple[int, ...] = ()) -> dict[str, pd.DataFrame]:
    """Raw tables of one series from FIRST on; temperatures are 10 degrees and a forecast says 11."""
    demand = np.asarray(demand, dtype=float)
    moments = FIRST + pd.to_timedelta(30 * np.arange(len(demand) + 48), unit="min")
    days = range(calendar_until)
    return {
        "load": pd.DataFrame({"series_id": "here", "event_time": moments[:-48], "demand": demand, "temperature": 10.0}),
        "calendar": pd.DataFrame(
            {
                "day": [at(day) for day in days],
                "known_at": at(-365),
                "work_day": [int(day % 7 < 5 and day not in holidays) for day in days],
            }
        ),
        "weather": pd.DataFrame({"target_time": moments, "known_at": moments.normalize(), "temperature": 11.0}),
    }


def weekly(days: int) -> Any:
    """8 at night and 16 by day; 4 less on weekends."""
    half_hours = np.arange(48 * days)
    day, of_day = half_hours // 48, half_hours % 48
    return np.where((of_day >= 16) & (of_day < 40), 16.0, 8.0) - 4 * (day % 7 >= 5)


def rows(models: Models, tables: dict[str, pd.DataFrame], origin: int) -> pd.DataFrame:
    spine = models.table(tables, "spine")[["example_id", "label", "label_known_at"]]
    found = models.table(tables, "features").merge(spine, on="example_id")
    return found[found["event_time"] == at(origin)].sort_values("horizon", ignore_index=True)


def test_each_midnight_asks_for_the_48_half_hours_of_the_day_that_begins(models: Models) -> None:
    found = rows(models, raw(weekly(12)), origin=9)
    assert list(found["half_hour"]) == list(range(48))
    assert found["target_time"].iloc[0] == at(9)
    assert found["target_time"].iloc[-1] == at(9) + pd.Timedelta(hours=23.5)
    assert list(found["label"]) == list(weekly(12)[9 * 48 : 10 * 48])
    assert (found["label_known_at"] == found["target_time"] + pd.Timedelta(minutes=30)).all()


def test_the_newest_midnight_has_no_labels(models: Models) -> None:
    assert rows(models, raw(weekly(12)), origin=12)["label"].isna().all()


def test_a_half_hour_that_was_not_measured_has_no_label(models: Models) -> None:
    tables = raw(weekly(12))
    tables["load"] = tables["load"].drop(index=9 * 48 + 5)
    assert list(rows(models, tables, origin=9).index[rows(models, tables, origin=9)["label"].isna()]) == [5]


def test_lags_are_those_of_the_same_half_hour_and_of_days_of_its_kind(models: Models) -> None:
    found = rows(models, raw(weekly(40)), origin=35)  # a Monday
    label = found["label"]
    assert found["demand_7d"].equals(label)
    assert found["naive"].equals(label)
    assert found["demand_like_last"].equals(label)
    assert (found["demand_1d"] == label - 4).all()  # Sunday
    assert found["naive_scale"].gt(0).all()


def test_a_holiday_is_like_a_weekend(models: Models) -> None:
    found = rows(models, raw(weekly(40), holidays=(35,)), origin=35)
    assert found["work_day"].eq(0).all()
    assert list(found["demand_like_last"]) == list(weekly(40)[34 * 48 : 35 * 48])


def test_beyond_the_calendar_weekdays_count_as_working_days(models: Models) -> None:
    told = rows(models, raw(weekly(40), calendar_until=35), origin=35)
    assert told["is_calendar_known"].eq(0).all()
    assert told["work_day"].eq(1).all()
    assert rows(models, raw(weekly(40), calendar_until=33), origin=33)["work_day"].eq(0).all()


def test_of_several_forecasts_the_newest_one_known_by_then_is_taken(models: Models) -> None:
    tables = raw(weekly(12))
    tables["weather"] = pd.DataFrame(
        {
            "target_time": at(9),
            "known_at": [at(7), at(8.5), at(9.1)],
            "temperature": [1.0, 2.0, 3.0],
        }
    )
    found = rows(models, tables, origin=9)
    assert found["temperature_forecast"].iloc[0] == 2
    assert found["temperature_forecast"].iloc[1:].isna().all()


def test_a_series_that_has_just_begun_has_a_naive_forecast_and_a_scale(models: Models) -> None:
    found = rows(models, raw(weekly(3)), origin=1)
    assert list(found["naive"]) == list(weekly(1))
    assert found["naive_scale"].gt(0).all()
    assert found["demand_7d"].isna().all()


@given(st.lists(st.integers(0, 9), min_size=48, max_size=96), st.integers(0, 9))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_measured_later_changes_nothing_that_was_known(models: Models, later: list[int], other: int) -> None:
    one = models.table(raw([*weekly(9), *later]), "features")
    two = models.table(raw([*weekly(9), *(other for _ in later)]), "features")
    one, two = (f[f["event_time"] <= at(9)].reset_index(drop=True) for f in (one, two))
    # The forecast of the temperature reaches as far as the measured series here, so it is no matter of what came later.
    pd.testing.assert_frame_equal(one, two)


@pytest.fixture
def filled(lake: Lake, models: Models) -> Lake:
    demand = weekly(45) + np.random.default_rng(0).normal(0, 0.5, 45 * 48)
    tables = raw(demand)
    for table in ("load", "weather"):  # a temperature that is always the same would hide whose mean is taken
        tables[table]["temperature"] += np.random.default_rng(1).normal(0, 3, len(tables[table]))
    with models.built(tables) as con:
        made = {name: con.execute(f"FROM electricity.{name}").to_arrow_table() for name in models.texts}
    lake.commit(lambda con: [replace_table(con, f"electricity.{name}", table) for name, table in made.items()], "fill")
    return lake


def test_the_leakage_check_rebuilds_every_feature(filled: Lake, models: Models) -> None:
    report = check_leakage(models.query, filled, at(46).to_pydatetime(), rows=15, seed=1, lookback_days=800)
    assert report.rows == 15
    assert report.leaking == ()
