"""Splits: who may learn from which rows, and who is judged on which, by time or by group. Folds: see `folds`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.groups import Groups
from mlplatform.spec.split import Split, SplitByGroup, SplitByTime

__all__ = [
    "Extent",
    "Mask",
    "Parts",
    "Times",
    "Window",
    "as_datetimes",
    "cut_parts",
    "group_shares",
    "keys_of",
    "require_both_classes",
    "rows_in_use",
    "split_by_group",
    "split_by_time",
    "time_windows",
]

Mask = npt.NDArray[np.bool_]
Times = pd.Series | pd.DatetimeIndex | npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Window:
    """A half-open stretch of time: `start` belongs to it, `end` does not."""

    start: pd.Timestamp
    end: pd.Timestamp

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"

    def holds(self, times: npt.NDArray[np.datetime64]) -> Mask:
        """Which of `times` lie inside, one bool each."""
        return (times >= self.start.to_datetime64()) & (times < self.end.to_datetime64())


Extent = Window | Groups
"""What the rows of a part have in common."""


@dataclass(frozen=True)
class Parts:
    """Masks over the rows that were given (bool[n] each), and what the rows of each have in common."""

    train: Mask
    tune: Mask
    test: Mask
    extents: Mapping[str, Extent]
    """By part: train, tune, test."""
    learned_until: pd.Timestamp
    """Event time from which on no row is in train or tune."""
    held_out: Groups | None = None
    """Groups none of whose rows are in train or tune, at whatever time."""

    def boundaries(self) -> dict[str, str]:
        """Where each part begins and ends, for a record a person reads: ISO timestamps, or shares of the groups."""
        return {
            f"{name}_{edge}": value.isoformat() if isinstance(value, pd.Timestamp) else str(value)
            for name, extent in self.extents.items()
            for edge, value in _edges(extent).items()
        }


def cut_parts(frame: pd.DataFrame, split: Split, event_time: str, as_of: pd.Timestamp) -> Parts:
    """The parts of the declared kind over the rows of `frame`, which has the event time and, for groups, the key.

    Raises TrainingError when a part has no row, or the frame lacks the key.
    """
    if isinstance(split, SplitByTime):
        return split_by_time(frame[event_time], split, as_of)
    return split_by_group(keys_of(frame, split.key), split, as_of)


def rows_in_use(split: Split, as_of: pd.Timestamp) -> Window:
    """The stretch of time whose rows a training as of `as_of` can use, as far as their labels are known by then."""
    if isinstance(split, SplitByTime):
        train, _, test = time_windows(split, as_of)
        return Window(train.start, test.end)
    return Window(pd.Timestamp.min.ceil("D"), as_of)


def split_by_time(event_time: Times, split: SplitByTime, as_of: pd.Timestamp) -> Parts:
    """Cut rows into train | gap | tune | gap | test, counted back from `as_of`.

    Each gap is the label delay, so every label of a part was known before the next part begins, and every
    label of the test part is known at `as_of`. Raises TrainingError when a part has no row.
    """
    times = as_datetimes(event_time)
    windows = dict(zip(("train", "tune", "test"), time_windows(split, as_of), strict=True))
    masks = {name: window.holds(times) for name, window in windows.items()}
    for name, window in windows.items():
        if not masks[name].any():
            raise TrainingError(
                f"no rows in the {name} part, {window} (as of {as_of}, events {_span(times)}); "
                f"load more history or shorten the split"
            )
    return Parts(masks["train"], masks["tune"], masks["test"], windows, windows["tune"].end)


def split_by_group(keys: pd.Series, split: SplitByGroup, as_of: pd.Timestamp) -> Parts:
    """Deal groups to train, tune and test by the hash of their key; all rows of a group go where it goes.

    Raises TrainingError when a part has no row, or a row has no key.
    """
    extents = group_shares(split)
    masks = {name: groups.holds(keys) for name, groups in extents.items()}
    for name, groups in extents.items():
        if not masks[name].any():
            raise TrainingError(
                f"no rows in the {name} part, {groups}, out of {keys.nunique()} groups; load more groups or raise "
                f"{'the other shares less' if name == 'train' else f'{name}_share'}"
            )
    return Parts(masks["train"], masks["tune"], masks["test"], extents, pd.Timestamp(as_of), extents["test"])


def group_shares(split: SplitByGroup) -> dict[str, Groups]:
    """The groups of train, tune and test."""
    tuned_until = split.test_share + split.tune_share
    return {
        "train": Groups(split.key, split.seed, tuned_until, 1.0),
        "tune": Groups(split.key, split.seed, split.test_share, tuned_until),
        "test": Groups(split.key, split.seed, 0.0, split.test_share),
    }


def require_both_classes(labels: npt.NDArray[Any], part: str, extent: object) -> None:
    """Raise TrainingError when `labels` (0/1, shape [n]) of a part hold one class only; `extent` says where it is."""
    positives = int(np.sum(labels == 1))
    if positives in (0, len(labels)):
        raise TrainingError(
            f"the {part} part, {extent}, has {positives} positives in {len(labels)} rows; "
            f"both classes are needed: load more history or lengthen the part"
        )


def time_windows(split: SplitByTime, as_of: pd.Timestamp) -> tuple[Window, Window, Window]:
    """Train, tune and test."""
    gap = pd.Timedelta(days=split.label_delay_days)
    ends = []
    end = pd.Timestamp(as_of) - gap
    for days in (split.test_days, split.tune_days, split.train_days):
        start = end - pd.Timedelta(days=days)
        ends.append(Window(start, end))
        end = start - gap
    test, tune, train = ends
    return train, tune, test


def keys_of(frame: pd.DataFrame, key: str) -> pd.Series:
    """The column that names the group of each row. Raises TrainingError when the frame lacks it."""
    if key not in frame.columns:
        raise TrainingError(
            f"the split names the key {key!r}, which the features lack; have {list(frame.columns)}. Add it to the "
            "features' SQL (it need not be a feature of the models)"
        )
    return frame[key]


def as_datetimes(event_time: Times) -> npt.NDArray[np.datetime64]:
    """Event times as numpy's; raises TrainingError when they are none, or have a time zone."""
    times = np.asarray(event_time)
    if not np.issubdtype(times.dtype, np.datetime64):
        raise TrainingError(f"event times must be timestamps without time zone, not {times.dtype}; cast the column")
    return times


def _edges(extent: Extent) -> dict[str, pd.Timestamp | float]:
    if isinstance(extent, Window):
        return {"start": extent.start, "end": extent.end}
    return {"from_share": extent.low, "to_share": extent.high}


def _span(times: npt.NDArray[np.datetime64]) -> str:
    return f"{pd.Timestamp(times.min())} to {pd.Timestamp(times.max())}" if len(times) else "none"
