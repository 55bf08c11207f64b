"""Who is learned from and who is validated on in each kind of fold."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlplatform.errors import TrainingError
from mlplatform.ml.folds import Fold, cut_folds
from mlplatform.ml.splits import Window, cut_parts, require_both_classes
from mlplatform.spec.folds import GroupFolds, RollingOriginFolds, StratifiedFolds, TimeFolds
from mlplatform.spec.split import Split, SplitByGroup, SplitByTime
from mlplatform_tests.ml.test_splits import AS_OF, HOURLY, group_splits, people, splits

numbers = st.integers(2, 5)
FRAME = pd.DataFrame({"event_time": HOURLY.to_numpy(), "person": np.arange(len(HOURLY)) % 300, "label": 0})


def cut(split: Split, frame: pd.DataFrame = FRAME) -> tuple[Fold, ...]:
    return cut_folds(frame, split, "event_time", "label", AS_OF)


def in_folds(split: Split, kind: object) -> Split:
    return type(split).model_validate(split.model_dump() | {"cross_validation": kind})


def with_labels(keys: pd.Series, labels: list[bool]) -> pd.DataFrame:
    return pd.DataFrame({"event_time": AS_OF, "person": keys, "label": np.resize(labels, len(keys)).astype(int)})


@st.composite
def rolling(draw: st.DrawFn) -> SplitByTime:
    folds, test_days, delay = draw(numbers), draw(st.integers(1, 9)), draw(st.integers(0, 9))
    return SplitByTime(
        label_delay_days=delay,
        train_days=folds * test_days + delay + draw(st.integers(1, 20)),
        tune_days=7,
        test_days=test_days,
        cross_validation=RollingOriginFolds(kind="rolling_origin", folds=folds),
    )


by_time = st.builds(lambda split, folds: in_folds(split, TimeFolds(folds=folds)), splits, numbers)


@given(by_time | rolling())
@settings(max_examples=60, deadline=None)
def test_folds_in_time_lie_in_the_train_window_and_validate_behind_the_gap(split: SplitByTime) -> None:
    inside = cut_parts(FRAME, split, "event_time", AS_OF).train
    delay = pd.Timedelta(days=split.label_delay_days)
    folds = cut(split)
    assert len(folds) == split.cross_validation.folds
    for fold in folds:
        assert not ((fold.train | fold.validation) & ~inside).any()
        assert HOURLY[fold.train].max() + delay < HOURLY[fold.validation].min()


@given(by_time | rolling())
@settings(max_examples=40, deadline=None)
def test_folds_in_time_grow_and_no_row_is_validated_on_twice(split: SplitByTime) -> None:
    folds = cut(split)
    assert (np.sum([fold.validation for fold in folds], axis=0) <= 1).all()
    for earlier, later in pairwise(folds):
        assert not (earlier.train & ~later.train).any()
        assert later.train.sum() > earlier.train.sum()


def test_folds_grow_and_the_last_one_ends_with_the_train_window() -> None:
    split = SplitByTime(label_delay_days=7, train_days=28, tune_days=7, test_days=7)
    folds = cut(split)
    assert [fold.train.sum() for fold in folds] == [126, 252, 378]
    last, train = folds[-1].validation_extent, cut_parts(FRAME, split, "event_time", AS_OF).extents["train"]
    assert isinstance(last, Window)
    assert isinstance(train, Window)
    assert last.end == train.end


@given(rolling())
@settings(max_examples=40, deadline=None)
def test_a_rolling_origin_validates_on_the_latest_stretches_each_as_long_as_the_test_part(split: SplitByTime) -> None:
    inside = HOURLY[cut_parts(FRAME, split, "event_time", AS_OF).train]
    folds = cut(split)
    days = [fold.validation.sum() / 24 for fold in folds]
    assert days == [split.test_days] * split.cross_validation.folds
    validated = np.sum([fold.validation for fold in folds], axis=0).astype(bool)
    assert (HOURLY[validated] == inside[-int(validated.sum()) :]).all()


def test_a_rolling_origin_without_rows_to_learn_from_is_refused_with_what_is_needed() -> None:
    fields = {"label_delay_days": 7, "train_days": 28, "tune_days": 7, "test_days": 7}
    with pytest.raises(ValidationError, match="leave nothing of train_days 28 to learn from; raise it above 28 or"):
        SplitByTime.model_validate(fields | {"cross_validation": {"kind": "rolling_origin"}})
    assert SplitByTime.model_validate(fields | {"cross_validation": {"kind": "rolling_origin", "folds": 2}})


def test_a_window_too_short_for_folds_is_an_error() -> None:
    with pytest.raises(TrainingError, match="lengthen train_days"):
        cut(SplitByTime(label_delay_days=7, train_days=7, tune_days=7, test_days=7))


def of_groups(kind: str) -> st.SearchStrategy[SplitByGroup]:
    return st.builds(lambda split, n: in_folds(split, {"kind": kind, "folds": n}), group_splits, numbers)  # type: ignore[return-value]


@given(people, of_groups("group") | of_groups("stratified"), st.lists(st.booleans(), min_size=1))
@settings(max_examples=80, deadline=None)
def test_no_group_is_learned_from_and_validated_on_and_each_is_validated_once(
    keys: pd.Series, split: SplitByGroup, labels: list[bool]
) -> None:
    frame = with_labels(keys, labels)
    inside = cut_parts(frame, split, "event_time", AS_OF).train
    folds = cut(split, frame)
    assert (np.sum([fold.validation for fold in folds], axis=0) == inside).all()
    for fold in folds:
        assert not set(keys[fold.train]) & set(keys[fold.validation])
        assert ((fold.train | fold.validation) == inside).all()


@given(people, of_groups("stratified"), st.lists(st.booleans(), min_size=1))
@settings(max_examples=60, deadline=None)
def test_stratified_folds_have_as_many_groups_with_a_positive_as_each_other_and_as_many_without(
    keys: pd.Series, split: SplitByGroup, labels: list[bool]
) -> None:
    frame = with_labels(keys, labels)
    with_positive = frame.groupby("person")["label"].transform("max")
    for positive in (0, 1):
        counts = [frame["person"][f.validation & (with_positive == positive)].nunique() for f in cut(split, frame)]
        assert max(counts) - min(counts) <= 1


@given(st.integers(40, 400), st.floats(0.05, 0.95), numbers)
@settings(max_examples=40, deadline=None)
def test_rows_that_are_groups_of_their_own_have_equal_class_shares_in_all_stratified_folds(
    rows: int, share: float, folds: int
) -> None:
    split = SplitByGroup(kind="group", key="person", cross_validation=StratifiedFolds(kind="stratified", folds=folds))
    random = np.random.default_rng(rows)
    frame = with_labels(pd.Series(range(rows)), (random.random(rows) < share).tolist())
    positives = [int(frame["label"][fold.validation].sum()) for fold in cut(split, frame)]
    assert max(positives) - min(positives) <= 1


def test_stratified_folds_do_not_depend_on_the_order_of_the_rows() -> None:
    split = SplitByGroup(kind="group", key="person", cross_validation=StratifiedFolds(kind="stratified"))
    frame = with_labels(FRAME["person"], [True, False, False, False, False])
    order = np.random.default_rng(0).permutation(len(frame))
    for there, here in zip(cut(split, frame), cut(split, frame.iloc[order]), strict=True):
        assert (there.validation[order] == here.validation).all()


def test_stratified_folds_of_amounts_are_an_error() -> None:
    split = SplitByGroup(kind="group", key="person", cross_validation=StratifiedFolds(kind="stratified"))
    with pytest.raises(TrainingError, match="stratified folds need labels 0 and 1"):
        cut(split, FRAME.assign(label=np.arange(len(FRAME))))


@given(splits, numbers)
@settings(max_examples=30, deadline=None)
def test_a_split_by_time_can_be_searched_in_folds_of_groups(split: SplitByTime, folds: int) -> None:
    split = in_folds(split, GroupFolds(key="person", folds=folds))  # type: ignore[assignment]
    inside = cut_parts(FRAME, split, "event_time", AS_OF).train
    found = cut(split)
    assert (np.sum([fold.validation for fold in found], axis=0) == inside).all()
    for fold in found:
        assert not set(FRAME["person"][fold.train]) & set(FRAME["person"][fold.validation])
        assert ((fold.train | fold.validation) == inside).all()


def test_a_key_that_the_features_lack_is_an_error_that_names_it() -> None:
    split = SplitByTime(
        label_delay_days=1, train_days=9, tune_days=9, test_days=9, cross_validation=GroupFolds(key="shop")
    )
    with pytest.raises(TrainingError, match="the split names the key 'shop', which the features lack"):
        cut(split)


@pytest.mark.parametrize(
    ("split", "folds", "message"),
    [
        ("time", {"kind": "group"}, "needs `key`"),
        ("time", {"kind": "stratified"}, "'time', 'rolling_origin', 'group'"),
        ("time", {"folds": 1}, "greater than or equal to 2"),
        ("group", {"kind": "time"}, "'group', 'stratified'"),
        ("group", {"kind": "group", "key": "shop"}, "names the key shop, the split person"),
    ],
)
def test_folds_that_do_not_fit_the_split_are_refused(split: str, folds: dict[str, object], message: str) -> None:
    fields = {
        "time": {"label_delay_days": 1, "train_days": 9, "tune_days": 9, "test_days": 9},
        "group": {"kind": "group", "key": "person"},
    }
    with pytest.raises(ValidationError, match=message):
        (SplitByTime if split == "time" else SplitByGroup).model_validate(fields[split] | {"cross_validation": folds})


def test_a_fold_of_groups_without_positives_is_named() -> None:
    split = SplitByGroup(kind="group", key="person")
    fold = cut(split)[0]
    with pytest.raises(TrainingError, match="1/3 of the training groups by person, has 0 positives in"):
        require_both_classes(np.zeros(9, dtype=int), "fold's validation", fold.validation_extent)
