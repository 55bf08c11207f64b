from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import TrainingError
from mlplatform.ml.splits import (
    Window,
    cut_parts,
    require_both_classes,
    rows_in_use,
    split_by_group,
    split_by_time,
)
from mlplatform.spec.split import SplitByGroup, SplitByTime

AS_OF = pd.Timestamp("2024-06-30 12:00")
HOURLY = pd.date_range(end=AS_OF, periods=24 * 200, freq="h").to_series()

splits = st.builds(
    SplitByTime,
    label_delay_days=st.integers(0, 9),
    train_days=st.integers(20, 60),
    tune_days=st.integers(1, 20),
    test_days=st.integers(1, 20),
)


@given(splits)
@settings(max_examples=40, deadline=None)
def test_every_label_of_a_part_is_known_before_the_next_part_begins(split: SplitByTime) -> None:
    parts = split_by_time(HOURLY, split, AS_OF)
    delay = pd.Timedelta(days=split.label_delay_days)
    assert HOURLY[parts.train].max() + delay < HOURLY[parts.tune].min()
    assert HOURLY[parts.tune].max() + delay < HOURLY[parts.test].min()
    assert HOURLY[parts.test].max() + delay < AS_OF


@given(splits)
@settings(max_examples=40, deadline=None)
def test_parts_are_as_long_as_declared_and_share_no_row(split: SplitByTime) -> None:
    parts = split_by_time(HOURLY, split, AS_OF)
    days = [mask.sum() / 24 for mask in (parts.train, parts.tune, parts.test)]
    assert days == [split.train_days, split.tune_days, split.test_days]
    assert (parts.train.astype(int) + parts.tune + parts.test).max() == 1


def test_the_order_of_the_rows_does_not_matter() -> None:
    split = SplitByTime(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    shuffled = np.random.default_rng(0).permutation(len(HOURLY))
    there = split_by_time(HOURLY, split, AS_OF).train
    assert (split_by_time(HOURLY.iloc[shuffled], split, AS_OF).train == there[shuffled]).all()


def test_an_empty_part_is_an_error_that_names_its_dates() -> None:
    split = SplitByTime(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    with pytest.raises(TrainingError, match="no rows in the train part, 2024-04-28 12:00 to 2024-05-26 12:00"):
        split_by_time(HOURLY.iloc[-24 * 30 :], split, AS_OF)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_a_part_with_one_class_is_an_error(labels: list[int]) -> None:
    window = Window(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-08"))
    with pytest.raises(TrainingError, match=r"tune part, 2024-01-01 00:00 to 2024-01-08 00:00"):
        require_both_classes(np.asarray(labels, dtype=int), "tune", window)


def test_times_with_a_zone_are_refused() -> None:
    split = SplitByTime(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    with pytest.raises(TrainingError, match="without time zone"):
        split_by_time(HOURLY.dt.tz_localize("UTC"), split, AS_OF)


shares = st.tuples(st.floats(0.15, 0.4), st.floats(0.15, 0.4))
group_splits = st.builds(
    lambda both, seed: SplitByGroup(kind="group", key="person", tune_share=both[0], test_share=both[1], seed=seed),
    shares,
    st.integers(0, 1000),
)
# Up to some thousand rows of 60 to 200 people, as ids or as text.
people = st.integers(60, 200).flatmap(
    lambda n: st.lists(st.integers(0, n - 1), min_size=200, max_size=400).map(
        lambda drawn: pd.Series([*range(n), *drawn], name="person")
    )
) | st.integers(60, 120).map(lambda n: pd.Series([f"p{i}" for i in range(n)] * 3, name="person"))


@given(people, group_splits)
@settings(max_examples=60, deadline=None)
def test_no_group_lies_in_two_parts_and_every_row_lies_in_one(keys: pd.Series, split: SplitByGroup) -> None:
    parts = split_by_group(keys, split, AS_OF)
    masks = (parts.train, parts.tune, parts.test)
    assert (np.sum(masks, axis=0) == 1).all()
    groups = [set(keys[mask]) for mask in masks]
    assert sum(map(len, groups)) == keys.nunique()


@given(people, group_splits, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_where_a_group_goes_depends_on_nothing_but_its_key(
    keys: pd.Series, split: SplitByGroup, random: Random
) -> None:
    whole = split_by_group(keys, split, AS_OF).test
    chosen = np.array([random.random() < 0.7 for _ in keys])
    chosen[: keys.nunique()] = True
    order = np.random.default_rng(0).permutation(np.flatnonzero(chosen))
    assert (split_by_group(keys.iloc[order], split, AS_OF).test == whole[order]).all()


def test_the_shares_are_about_those_declared() -> None:
    split = SplitByGroup(kind="group", key="person", tune_share=0.2, test_share=0.3)
    parts = split_by_group(pd.Series(range(20_000), name="person"), split, AS_OF)
    # One standard deviation of 20,000 draws is 0.3 %.
    assert [mask.mean() for mask in (parts.train, parts.tune, parts.test)] == pytest.approx([0.5, 0.2, 0.3], abs=0.015)


def test_another_seed_deals_the_groups_anew() -> None:
    keys = pd.Series(range(1000), name="person")
    ours, other = (split_by_group(keys, SplitByGroup(kind="group", key="person", seed=s), AS_OF).test for s in (1, 2))
    assert 0.1 < (ours & other).sum() / ours.sum() < 0.35


def test_a_row_without_a_key_is_an_error_that_names_the_column() -> None:
    keys = pd.Series([1, None, 3] * 50, name="person")
    with pytest.raises(TrainingError, match="50 rows have no person"):
        split_by_group(keys, SplitByGroup(kind="group", key="person"), AS_OF)


def test_too_few_groups_for_a_part_are_an_error_that_names_it() -> None:
    with pytest.raises(TrainingError, match=r"no rows in the \w+ part, \d+% of the groups by person, out of 1 groups"):
        split_by_group(pd.Series([1] * 9, name="person"), SplitByGroup(kind="group", key="person"), AS_OF)


def test_the_declared_kind_decides_how_a_frame_is_cut() -> None:
    frame = pd.DataFrame({"event_time": HOURLY.to_numpy(), "person": np.arange(len(HOURLY)) % 300})
    by_time = SplitByTime(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    by_group = SplitByGroup(kind="group", key="person")
    assert cut_parts(frame, by_time, "event_time", AS_OF).held_out is None
    assert cut_parts(frame, by_group, "event_time", AS_OF).held_out is not None
    with pytest.raises(TrainingError, match=r"the split names the key 'person', which the features lack"):
        cut_parts(frame[["event_time"]], by_group, "event_time", AS_OF)


@given(splits)
@settings(max_examples=20, deadline=None)
def test_the_rows_in_use_are_those_from_the_first_part_to_the_last(split: SplitByTime) -> None:
    inside = rows_in_use(split, AS_OF)
    parts = split_by_time(HOURLY, split, AS_OF)
    used = HOURLY[parts.train | parts.tune | parts.test]
    assert inside.start <= used.min() < inside.start + pd.Timedelta(hours=1)
    assert used.max() < inside.end <= used.max() + pd.Timedelta(hours=1)
    assert inside.start == AS_OF - pd.Timedelta(days=split.span_days)
