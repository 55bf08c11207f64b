"""The simulator keeps the published recipe, day by day."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import SpecError
from mlplatform.spec import PythonSource
from mlplatform.use_cases.fraud.source import Params, Reader, _build_world

SPEC = PythonSource(name="transactions", kind="python", key=["transaction_id"], start="2018-04-01")
SMALL = {"days": 60, "customers": 400, "terminals": 800, "seed": 3}
START = date(2018, 4, 1)


def rows(first: int = 0, last: int = 60, **changed: Any) -> pd.DataFrame:
    """Rows of the days [first, last), counted from the first."""
    table = Reader({**SMALL, **changed}, SPEC).read(START + timedelta(first), START + timedelta(last))
    return pd.DataFrame(table.to_pandas())


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    reader = Reader({}, SPEC)
    return pd.DataFrame(reader.read(*reader.available()).to_pandas())


def test_the_default_has_about_the_published_number_of_transactions(published: pd.DataFrame) -> None:
    # 1,754,155 published; the mean of 5,000 uniform rates alone moves it by 0.8 % (one standard deviation).
    assert len(published) == pytest.approx(1_754_155, rel=0.03)


def test_the_default_has_about_the_published_share_of_fraud(published: pd.DataFrame) -> None:
    assert published["is_fraud"].mean() == pytest.approx(0.00837, abs=0.0005)


def test_each_scenario_has_about_its_published_number_of_frauds(published: pd.DataFrame) -> None:
    # Published: 978, 9,099 and 4,604. The first two follow from who happens to live where and to spend how much.
    assert published["fraud_scenario"].value_counts()[[1, 2, 3]].to_list() == pytest.approx(
        [978, 9_099, 4_604], rel=0.15
    )


def test_the_id_is_unique_and_rises_with_time(published: pd.DataFrame) -> None:
    assert published["transaction_id"].is_monotonic_increasing
    assert published["transaction_id"].is_unique
    assert published["event_time"].is_monotonic_increasing


def test_amounts_are_those_of_the_recipe(published: pd.DataFrame) -> None:
    usual = published.loc[published["fraud_scenario"] == 0, "amount"]
    assert usual.between(0, 220).all()
    # Customers spend 52.5 on average, those who spend much as often as those who spend little.
    assert usual.mean() == pytest.approx(53.6, rel=0.03)


@settings(max_examples=8, deadline=None)
@given(first=st.integers(0, 59), length=st.integers(1, 10))
def test_a_day_is_the_same_alone_and_with_others(first: int, length: int) -> None:
    together = rows(0, 60)
    alone = rows(first, first + length)
    days = (together["event_time"] - pd.Timestamp(START)).dt.days
    expected = together[days.between(first, first + length - 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected)


def test_more_days_leave_earlier_days_as_they_were() -> None:
    pd.testing.assert_frame_equal(rows(0, 5, days=5), rows(0, 5))


def test_another_seed_gives_other_rows() -> None:
    assert not rows(0, 3)["amount"].equals(rows(0, 3, seed=4)["amount"])


def test_times_stay_inside_their_day() -> None:
    only = rows(4, 5)
    assert set(only["event_time"].dt.date) == {START + timedelta(4)}


def test_labels_become_known_seven_days_later() -> None:
    some = rows(0, 3)
    assert (some["label_known_at"] - some["event_time"] == pd.Timedelta(days=7)).all()


def test_two_new_terminals_and_three_new_customers_a_day_are_compromised() -> None:
    late = rows(40, 41, customers=5000, terminals=100)
    # 100 terminals: the 28 days hold 56 draws, nearly half of all terminals.
    bad = late.loc[late["fraud_scenario"] == 2, "terminal_id"].nunique()
    assert 30 <= bad <= 56


def test_a_compromised_terminal_is_all_fraud_while_it_lasts() -> None:
    day = rows(40, 41, customers=5000, terminals=100)
    by_terminal = day.groupby("terminal_id")["is_fraud"].mean()
    assert (by_terminal[by_terminal > 0.5] == 1).all()


def test_customers_use_terminals_within_reach() -> None:
    params = Params(customers=50, terminals=500)
    world = _build_world(params)
    some = rows(0, 60, customers=50, terminals=500, seed=0)
    for customer in range(50):
        reach = world.reachable[world.offset[customer] :][: world.count[customer]]
        assert set(some.loc[some["customer_id"] == customer, "terminal_id"]) <= set(reach.tolist())


def test_a_customer_who_reaches_no_terminal_buys_nothing() -> None:
    lonely = rows(0, 10, customers=400, terminals=2)
    assert 0 < lonely["customer_id"].nunique() < 40


def test_drift_leaves_the_days_before_it_untouched() -> None:
    drift = {"start_day": 5, "kind": "amounts", "size": 3.0}
    pd.testing.assert_frame_equal(rows(0, 5, drift=drift), rows(0, 5))


def test_drift_of_amounts_makes_large_amounts_ordinary() -> None:
    before, after = rows(5, 30), rows(5, 30, drift={"start_day": 5, "kind": "amounts", "size": 3.0})
    np.testing.assert_allclose(after["amount"], before["amount"] * 3, atol=0.01)
    assert after["is_fraud"].equals(before["is_fraud"])
    large = after[after["amount"] > 220]
    assert before.loc[before["amount"] > 220, "is_fraud"].mean() == 1
    assert large["is_fraud"].mean() < 0.2


def test_drift_into_the_night_moves_the_hour_and_nothing_else() -> None:
    before, after = rows(5, 6), rows(5, 6, drift={"start_day": 5, "kind": "night", "size": 12})
    assert before["event_time"].dt.hour.between(6, 18).mean() > 0.6
    assert after["event_time"].dt.hour.between(6, 18).mean() < 0.4
    assert set(after["event_time"].dt.date) == {START + timedelta(5)}
    assert sorted(after["amount"]) == sorted(before["amount"])


def test_a_range_outside_the_simulation_is_empty_with_all_columns() -> None:
    nothing = rows(60, 70)
    assert len(nothing) == 0
    assert list(nothing.columns) == list(rows(0, 1).columns)


def test_the_fingerprint_follows_the_parameters() -> None:
    assert Reader(SMALL, SPEC).fingerprint() == Reader(SMALL, SPEC).fingerprint()
    assert Reader(SMALL, SPEC).fingerprint() != Reader({**SMALL, "seed": 4}, SPEC).fingerprint()


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"dayz": 3}, "dayz: Extra inputs are not permitted. Allowed params: first_day, days, customers"),
        ({"days": 0}, "days: Input should be greater than 0"),
        ({"drift": {"start_day": 1, "kind": "colour", "size": 2}}, "drift.kind: Input should be 'amounts' or 'night'"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(params: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match="source `transactions`") as caught:
        Reader(params, SPEC)
    assert says in str(caught.value)
