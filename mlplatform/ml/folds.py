"""Cross-validation folds of the train part, of each declared kind. Parts: see `splits`."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.groups import Groups, positions
from mlplatform.ml.splits import Extent, Mask, Times, Window, as_datetimes, keys_of, split_by_group, time_windows
from mlplatform.spec.folds import GroupFolds, RollingOriginFolds, StratifiedFolds
from mlplatform.spec.split import Split, SplitByGroup, SplitByTime

__all__ = ["Dealt", "Fold", "cut_folds", "group_folds", "rolling_folds", "stratified_folds", "time_folds"]

SEED = 7
"""Deals the groups of folds in a split by time; a split by group has a seed of its own."""


@dataclass(frozen=True)
class Dealt:
    """One share of the training groups."""

    key: str
    share: str

    def __str__(self) -> str:
        return f"{self.share} of the training groups by {self.key}"


@dataclass(frozen=True)
class Fold:
    """One step of cross-validation: masks over all rows that were given (bool[n]), and what the rows have in common."""

    train: Mask
    validation: Mask
    train_extent: Extent | Dealt
    validation_extent: Extent | Dealt


def cut_folds(frame: pd.DataFrame, split: Split, event_time: str, label: str, as_of: pd.Timestamp) -> tuple[Fold, ...]:
    """The folds of the declared kind over the rows of `frame`, which has event time, label and the key of groups.

    Raises TrainingError when the frame lacks the key, or the rows do not allow such folds.
    """
    declared = split.cross_validation
    if isinstance(split, SplitByGroup):
        keys = keys_of(frame, split.key)
        if isinstance(declared, StratifiedFolds):
            return tuple(stratified_folds(keys, frame[label], split, as_of))
        return tuple(group_folds(keys, split))
    if isinstance(declared, GroupFolds):
        window = time_windows(split, as_of)[0]
        inside = window.holds(as_datetimes(frame[event_time]))
        return tuple(_by_share(keys_of(frame, str(declared.key)), inside, declared.folds, SEED, 0.0))
    cut = rolling_folds if isinstance(declared, RollingOriginFolds) else time_folds
    return tuple(cut(frame[event_time], split, as_of))


def time_folds(event_time: Times, split: SplitByTime, as_of: pd.Timestamp) -> Iterator[Fold]:
    """Growing folds of the train window, each validated after a gap.

    The window less one gap is cut into folds + 1 equal stretches: fold i learns from the first i and is
    validated on the stretch that begins one label delay after them; the last one ends with the window.
    """
    window, folds = time_windows(split, as_of)[0], split.cross_validation.folds
    gap = pd.Timedelta(days=split.label_delay_days)
    stretch = (window.end - window.start - gap) / (folds + 1)
    if stretch <= pd.Timedelta(0):
        raise TrainingError(
            f"train_days={split.train_days} leaves no room for folds with a gap of label_delay_days="
            f"{split.label_delay_days}; lengthen train_days"
        )
    times = as_datetimes(event_time)
    for number in range(1, folds + 1):
        learned_until = window.start + number * stretch
        yield _in_time(times, window.start, learned_until, learned_until + gap, stretch)


def rolling_folds(event_time: Times, split: SplitByTime, as_of: pd.Timestamp) -> Iterator[Fold]:
    """The last stretches of the train window, each as long as the test part; learned from is all before, less a gap.

    The declaration leaves the first of them rows to learn from.
    """
    window, folds = time_windows(split, as_of)[0], split.cross_validation.folds
    stretch, gap = pd.Timedelta(days=split.test_days), pd.Timedelta(days=split.label_delay_days)
    times = as_datetimes(event_time)
    for number in range(folds, 0, -1):
        start = window.end - number * stretch
        yield _in_time(times, window.start, start - gap, start, stretch)


def group_folds(keys: pd.Series, split: SplitByGroup) -> Iterator[Fold]:
    """Cut the training groups into equal shares; each is validated on once, the rest is learned from."""
    first = split.test_share + split.tune_share
    inside = Groups(split.key, split.seed, first, 1.0).holds(keys)
    yield from _by_share(keys, inside, split.cross_validation.folds, split.seed, first)


def stratified_folds(keys: pd.Series, labels: pd.Series, split: SplitByGroup, as_of: pd.Timestamp) -> Iterator[Fold]:
    """Deal the training groups in turn, those with a positive and those without apart, in the order of their hash.

    So folds differ by at most one group of either. Raises TrainingError when labels are not 0 and 1.
    """
    inside = split_by_group(keys, split, as_of).train
    if not labels[inside].isin([0, 1]).all():
        raise TrainingError("stratified folds need labels 0 and 1; declare cross_validation: {kind: group}")
    rows = pd.DataFrame({"key": keys, "positive": labels == 1, "place": positions(keys, split.seed)})[inside]
    groups = rows.groupby("key").agg(positive=("positive", "any"), place=("place", "first")).sort_values("place")
    folds = split.cross_validation.folds
    dealt = groups.groupby("positive").cumcount() % folds
    fold_of = keys.map(dealt).to_numpy(dtype=np.float64, na_value=np.nan)
    for number in range(folds):
        validation = inside & (fold_of == number)
        yield _of_groups(inside, validation, split.key, folds)


def _by_share(keys: pd.Series, inside: Mask, folds: int, seed: int, first: float) -> Iterator[Fold]:
    """Folds of the rows `inside`, whose groups lie evenly in [first, 1)."""
    for low, high in pairwise(np.linspace(first, 1.0, folds + 1).tolist()):
        validation = inside & Groups(str(keys.name), seed, low, high).holds(keys)
        yield _of_groups(inside, validation, str(keys.name), folds)


def _of_groups(inside: Mask, validation: Mask, key: str, folds: int) -> Fold:
    return Fold(inside & ~validation, validation, Dealt(key, f"{folds - 1}/{folds}"), Dealt(key, f"1/{folds}"))


def _in_time(
    times: np.ndarray, start: pd.Timestamp, until: pd.Timestamp, validated_from: pd.Timestamp, stretch: pd.Timedelta
) -> Fold:
    train, validation = Window(start, until), Window(validated_from, validated_from + stretch)
    return Fold(train.holds(times), validation.holds(times), train, validation)
