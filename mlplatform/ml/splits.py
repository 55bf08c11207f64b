"""Time-ordered splits: who may learn from which rows, and who is judged on which. No model here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.spec.training import Split

__all__ = ["Fold", "TimeSplit", "Window", "require_both_classes", "split_by_time", "time_folds"]

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


@dataclass(frozen=True)
class TimeSplit:
    """Masks over the rows that were given (bool[n] each) and the windows they come from."""

    train: Mask
    tune: Mask
    test: Mask
    train_window: Window
    tune_window: Window
    test_window: Window

    def boundaries(self) -> dict[str, str]:
        """Start and end of each part as ISO timestamps, for a record a person reads."""
        windows = {"train": self.train_window, "tune": self.tune_window, "test": self.test_window}
        return {
            f"{name}_{edge}": getattr(window, edge).isoformat()
            for name, window in windows.items()
            for edge in ("start", "end")
        }


@dataclass(frozen=True)
class Fold:
    """One step of time-ordered cross-validation: masks over all rows that were given."""

    train: Mask
    validation: Mask
    train_window: Window
    validation_window: Window


def split_by_time(event_time: Times, split: Split, as_of: pd.Timestamp) -> TimeSplit:
    """Cut rows into train | gap | tune | gap | test, counted back from `as_of`.

    Each gap is the label delay, so every label of a part was known before the next part begins, and every
    label of the test part is known at `as_of`. Raises TrainingError when a part has no row.
    """
    times = _as_datetimes(event_time)
    train, tune, test = _windows(split, pd.Timestamp(as_of))
    masks = {name: window.holds(times) for name, window in (("train", train), ("tune", tune), ("test", test))}
    for name, window in (("train", train), ("tune", tune), ("test", test)):
        if not masks[name].any():
            raise TrainingError(
                f"no rows in the {name} part, {window} (as of {as_of}, events {_span(times)}); "
                f"load more history or shorten the split"
            )
    return TimeSplit(**masks, train_window=train, tune_window=tune, test_window=test)


def time_folds(event_time: Times, split: Split, as_of: pd.Timestamp) -> tuple[Fold, ...]:
    """Cut the train window into `split.folds` growing folds, each validated after a gap.

    The window less one gap is cut into folds + 1 equal stretches: fold i learns from the first i and is
    validated on the stretch that begins one label delay after them; the last one ends with the window.
    """
    window, _, _ = _windows(split, pd.Timestamp(as_of))
    gap = pd.Timedelta(days=split.label_delay_days)
    stretch = (window.end - window.start - gap) / (split.folds + 1)
    if stretch <= pd.Timedelta(0):
        raise TrainingError(
            f"train_days={split.train_days} leaves no room for folds with a gap of label_delay_days="
            f"{split.label_delay_days}; lengthen train_days"
        )
    times = _as_datetimes(event_time)
    return tuple(_fold(times, window, i * stretch, gap, stretch) for i in range(1, split.folds + 1))


def require_both_classes(labels: npt.NDArray[np.integer], part: str, window: Window) -> None:
    """Raise TrainingError when `labels` (0/1, shape [n]) of a part hold one class only."""
    positives = int(np.sum(labels == 1))
    if positives in (0, len(labels)):
        raise TrainingError(
            f"the {part} part, {window}, has {positives} positives in {len(labels)} rows; "
            f"both classes are needed: load more history or lengthen the part"
        )


def _windows(split: Split, as_of: pd.Timestamp) -> tuple[Window, Window, Window]:
    gap = pd.Timedelta(days=split.label_delay_days)
    ends = []
    end = as_of - gap
    for days in (split.test_days, split.tune_days, split.train_days):
        start = end - pd.Timedelta(days=days)
        ends.append(Window(start, end))
        end = start - gap
    test, tune, train = ends
    return train, tune, test


def _fold(
    times: npt.NDArray[np.datetime64], whole: Window, learned: pd.Timedelta, gap: pd.Timedelta, stretch: pd.Timedelta
) -> Fold:
    train = Window(whole.start, whole.start + learned)
    validation = Window(train.end + gap, train.end + gap + stretch)
    return Fold(train.holds(times), validation.holds(times), train, validation)


def _as_datetimes(event_time: Times) -> npt.NDArray[np.datetime64]:
    times = np.asarray(event_time)
    if not np.issubdtype(times.dtype, np.datetime64):
        raise TrainingError(f"event times must be timestamps without time zone, not {times.dtype}; cast the column")
    return times


def _span(times: npt.NDArray[np.datetime64]) -> str:
    return f"{pd.Timestamp(times.min())} to {pd.Timestamp(times.max())}" if len(times) else "none"
