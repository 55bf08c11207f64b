import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import TrainingError
from mlplatform.ml.splits import Window, require_both_classes, split_by_time, time_folds
from mlplatform.spec.training import Split

AS_OF = pd.Timestamp("2024-06-30 12:00")
HOURLY = pd.date_range(end=AS_OF, periods=24 * 200, freq="h").to_series()

splits = st.builds(
    Split,
    label_delay_days=st.integers(0, 9),
    train_days=st.integers(20, 60),
    tune_days=st.integers(1, 20),
    test_days=st.integers(1, 20),
    folds=st.integers(2, 5),
)


@given(splits)
@settings(max_examples=40, deadline=None)
def test_every_label_of_a_part_is_known_before_the_next_part_begins(split: Split) -> None:
    parts = split_by_time(HOURLY, split, AS_OF)
    delay = pd.Timedelta(days=split.label_delay_days)
    assert HOURLY[parts.train].max() + delay < HOURLY[parts.tune].min()
    assert HOURLY[parts.tune].max() + delay < HOURLY[parts.test].min()
    assert HOURLY[parts.test].max() + delay < AS_OF


@given(splits)
@settings(max_examples=40, deadline=None)
def test_parts_are_as_long_as_declared_and_share_no_row(split: Split) -> None:
    parts = split_by_time(HOURLY, split, AS_OF)
    days = [mask.sum() / 24 for mask in (parts.train, parts.tune, parts.test)]
    assert days == [split.train_days, split.tune_days, split.test_days]
    assert (parts.train.astype(int) + parts.tune + parts.test).max() == 1


@given(splits)
@settings(max_examples=40, deadline=None)
def test_folds_lie_in_the_train_window_and_validate_behind_the_gap(split: Split) -> None:
    inside = split_by_time(HOURLY, split, AS_OF).train
    delay = pd.Timedelta(days=split.label_delay_days)
    for fold in time_folds(HOURLY, split, AS_OF):
        assert not ((fold.train | fold.validation) & ~inside).any()
        assert HOURLY[fold.train].max() + delay < HOURLY[fold.validation].min()


def test_folds_grow_and_the_last_one_ends_with_the_train_window() -> None:
    split = Split(label_delay_days=7, train_days=28, tune_days=7, test_days=7, folds=3)
    folds = time_folds(HOURLY, split, AS_OF)
    assert [fold.train.sum() for fold in folds] == [126, 252, 378]
    assert folds[-1].validation_window.end == split_by_time(HOURLY, split, AS_OF).train_window.end


def test_the_order_of_the_rows_does_not_matter() -> None:
    split = Split(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    shuffled = np.random.default_rng(0).permutation(len(HOURLY))
    there = split_by_time(HOURLY, split, AS_OF).train
    assert (split_by_time(HOURLY.iloc[shuffled], split, AS_OF).train == there[shuffled]).all()


def test_an_empty_part_is_an_error_that_names_its_dates() -> None:
    split = Split(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    with pytest.raises(TrainingError, match="no rows in the train part, 2024-04-28 12:00 to 2024-05-26 12:00"):
        split_by_time(HOURLY.iloc[-24 * 30 :], split, AS_OF)


def test_a_window_too_short_for_folds_is_an_error() -> None:
    with pytest.raises(TrainingError, match="lengthen train_days"):
        time_folds(HOURLY, Split(label_delay_days=7, train_days=7, tune_days=7, test_days=7), AS_OF)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_a_part_with_one_class_is_an_error(labels: list[int]) -> None:
    window = Window(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-08"))
    with pytest.raises(TrainingError, match=r"tune part, 2024-01-01 00:00 to 2024-01-08 00:00"):
        require_both_classes(np.asarray(labels, dtype=int), "tune", window)


def test_times_with_a_zone_are_refused() -> None:
    split = Split(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    with pytest.raises(TrainingError, match="without time zone"):
        split_by_time(HOURLY.dt.tz_localize("UTC"), split, AS_OF)
