"""The demand use case's spine and features: labels, closed days, late items, and what was known when."""

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
HORIZONS = 14


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    return compile_models("demand", tmp_path_factory.mktemp("demand"))


def at(day: int) -> pd.Timestamp:
    return FIRST + pd.Timedelta(days=day)


def raw(sales: dict[tuple[str, int], float], holidays: tuple[int, ...] = (), until: int = 400) -> dict[str, Any]:
    """Raw tables: units by (item, day), days counted from FIRST; the calendar reaches to the day `until`."""
    days = range(until)
    return {
        "sales": pd.DataFrame(
            {
                "sale_id": [f"{item} {day}" for item, day in sales],
                "event_time": [at(day) + pd.Timedelta(hours=13) for _, day in sales],
                "item_id": [item for item, _ in sales],
                "quantity": list(sales.values()),
                "price": 10.0,
            }
        ),
        "calendar": pd.DataFrame(
            {
                "day": [at(day) for day in days],
                "known_at": at(-365),
                "holiday": pd.Series(["feast" if day in holidays else None for day in days], dtype="string"),
                "closed": 0,
            }
        ),
    }


def steady(items: dict[str, int], days: int, closed: tuple[int, ...] = ()) -> dict[tuple[str, int], float]:
    """Each item sells 5 units a day and 1 more on Saturdays, from its own first day on."""
    return {
        (item, day): 5.0 + (day % 7 == 5)
        for item, first in items.items()
        for day in range(first, days)
        if day not in closed
    }


def rows(models: Models, tables: dict[str, Any], **where: Any) -> pd.DataFrame:
    found = models.table(tables, "features").merge(
        models.table(tables, "spine")[["example_id", "label", "label_known_at"]], on="example_id"
    )
    for name, value in where.items():
        found = found[found[name] == value]
    return found.sort_values(["event_time", "horizon"], ignore_index=True)


def test_horizon_1_is_the_day_that_begins_at_the_origin_and_its_label_is_known_when_it_ends(models: Models) -> None:
    found = rows(models, raw(steady({"a": 0}, 30)), event_time=at(10))
    assert list(found["horizon"]) == list(range(1, HORIZONS + 1))
    assert list(found["target_time"]) == [at(10 + h) for h in range(HORIZONS)]
    assert list(found["label"]) == [5.0 + ((10 + h) % 7 == 5) for h in range(HORIZONS)]
    assert (found["label_known_at"] == found["target_time"] + pd.Timedelta(days=1)).all()


def test_the_newest_origin_asks_for_days_to_come_which_have_no_label(models: Models) -> None:
    found = rows(models, raw(steady({"a": 0}, 30)))
    newest = found[found["event_time"] == found["event_time"].max()]
    assert newest["event_time"].iloc[0] == at(30)
    assert newest["label"].isna().all()
    assert newest["label_known_at"].isna().all()


def test_a_closed_day_has_no_label_and_moves_no_level(models: Models) -> None:
    shut = (21, 22)
    tables = raw(steady({"a": 0, "b": 0}, 40, shut))
    found = rows(models, tables, item_id="a")
    assert found.loc[found["target_time"].isin([at(day) for day in shut]), "label"].isna().all()
    after = found[(found["event_time"] == at(24)) & (found["horizon"] == 5)].iloc[0]
    assert after["mean_7d"] == pytest.approx((5 * 4 + 6) / 5)  # days 17 to 23 without 21 and 22; day 19 is a Saturday
    assert after["naive"] == 5
    assert after["zero_share_28d"] == 0


def test_a_day_without_a_sale_of_one_item_counts_as_none_sold(models: Models) -> None:
    sales = steady({"a": 0, "b": 0}, 20)
    del sales["a", 12]
    found = rows(models, raw(sales), item_id="a")
    assert found.loc[found["target_time"] == at(12), "label"].eq(0).all()
    assert found.loc[found["event_time"] == at(13), "last_value"].eq(0).all()


def test_an_item_that_starts_late_has_rows_from_the_end_of_its_first_day(models: Models) -> None:
    found = rows(models, raw(steady({"a": 0, "new": 25}, 40)), item_id="new")
    assert found["event_time"].min() == at(26)
    first = found[found["event_time"] == at(26)]
    assert first["days_on_sale"].eq(1).all()
    assert first["naive"].eq(6 if 25 % 7 == 5 else 5).all()
    assert first["naive_scale"].gt(0).all()
    assert first["weekday_mean_16w"].notna().sum() == 2  # the same weekday in one and in two weeks


def test_an_item_that_is_no_longer_sold_leaves_after_four_weeks(models: Models) -> None:
    sales = {key: units for key, units in steady({"a": 0, "b": 0}, 80).items() if key[0] == "a" or key[1] < 20}
    found = rows(models, raw(sales), item_id="b")
    assert found["event_time"].max() == at(19 + 28)


def test_the_shape_of_the_week_is_the_whole_shops(models: Models) -> None:
    found = rows(models, raw(steady({"a": 0, "b": 0}, 120)), item_id="a", event_time=at(119))
    saturday = found[found["weekday"] == 6].iloc[0]
    assert saturday["weekday_share"] == pytest.approx(6 / (36 / 7))
    assert saturday["expected"] == pytest.approx(saturday["mean_112d"] * saturday["weekday_share"])


def test_a_holiday_is_told_ahead_and_beyond_the_calendar_every_day_is_ordinary(models: Models) -> None:
    found = rows(models, raw(steady({"a": 0}, 30), holidays=(33,), until=36), event_time=at(30))
    assert list(found.loc[found["is_holiday"] == 1, "target_time"]) == [at(33)]
    assert list(found.loc[found["is_holiday_eve"] == 1, "target_time"]) == [at(32)]
    assert list(found.loc[found["is_calendar_known"] == 0, "target_time"]) == [at(d) for d in range(36, 44)]


def test_a_holiday_that_was_not_yet_announced_is_not_known(models: Models) -> None:
    tables = raw(steady({"a": 0}, 30), holidays=(25,))
    tables["calendar"]["known_at"] = at(20)
    found = rows(models, tables)
    told = found.loc[found["is_holiday"] == 1, "event_time"]
    assert told.min() == at(20)


units = st.integers(0, 9)
histories = st.lists(st.tuples(units, units), min_size=20, max_size=45)


@given(histories, st.integers(10, 19), st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_sold_later_changes_nothing_that_was_known(
    models: Models, history: list[tuple[int, int]], cut: int, data: st.DataObject
) -> None:
    def sales(days: list[tuple[int, int]]) -> dict[tuple[str, int], float]:
        # The staple keeps every day open.
        sold = {(item, d): float(n) for d, pair in enumerate(days) for item, n in zip("ab", pair, strict=True) if n}
        return sold | {("staple", d): 3.0 for d in range(len(days))}

    later = data.draw(st.lists(st.tuples(units, units), min_size=1, max_size=20))
    one = models.table(raw(sales(history[:cut] + later)), "features")
    other = models.table(raw(sales(history)), "features")
    one, other = (f[f["event_time"] <= at(cut)].reset_index(drop=True) for f in (one, other))
    pd.testing.assert_frame_equal(one, other)


def test_keys_are_the_same_in_every_build_and_survive_json(models: Models) -> None:
    one, other = (models.table(raw(steady({"a": first, "b": 0}, 40)), "spine") for first in (0, 5))
    assert one["example_id"].is_unique
    assert one["example_id"].max() < 2**53
    shared = other.merge(one, on=["item_id", "event_time", "horizon"])
    assert (shared["example_id_x"] == shared["example_id_y"]).all()


@pytest.fixture
def filled(lake: Lake, models: Models) -> Lake:
    random = np.random.default_rng(0)
    sales = {(item, day): float(random.poisson(4) + 1) for item in "abc" for day in range(150) if day % 40}
    with models.built(raw(sales, holidays=(50, 120))) as con:
        made = {name: con.execute(f"FROM demand.{name}").to_arrow_table() for name in models.texts}
    lake.commit(lambda con: [replace_table(con, f"demand.{name}", table) for name, table in made.items()], "fill")
    return lake


def test_the_leakage_check_rebuilds_every_feature(filled: Lake, models: Models) -> None:
    report = check_leakage(models.query, filled, at(151).to_pydatetime(), rows=15, seed=1, lookback_days=800)
    assert report.rows == 15
    assert report.leaking == ()
