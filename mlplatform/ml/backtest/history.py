"""The clock of a backtest: when decisions are made, and what was known then."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.backtest.setting import HISTORY_FILE
from mlplatform.spec.split import SplitByTime
from mlplatform.spec.use_case import UseCase

__all__ = ["History", "content_hash", "write_history"]

Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class History:
    """The times of all examples, in order of event time."""

    happened: Times
    """Event time of each example, [n]."""
    known: Times
    """When its label became known, [n]; NaT: never."""
    moments: tuple[pd.Timestamp, ...]
    """When decisions are made: the ends of the windows, the first being that of the first training."""

    @classmethod
    def of(cls, frame: pd.DataFrame, spec: UseCase, windows: int | None) -> "History":
        """Windows of `drift.window_days` that end with the newest day; the last `windows` of those behind which a
        model can be trained.

        Raises:
            TrainingError: the split is by group, a column is missing, or history is too short.
        """
        split = spec.training.split
        if not isinstance(split, SplitByTime):
            raise TrainingError(
                "a split by group trains on the whole history: what would have been trained earlier is not known; "
                "a backtest needs a split by time"
            )
        wanted = [spec.event_time, spec.label_known_at, spec.training.label, *spec.training.features]
        if missing := [name for name in wanted if name not in frame.columns]:
            raise TrainingError(f"the history lacks {', '.join(missing)}")
        happened = frame[spec.event_time].to_numpy(dtype="datetime64[us]")
        labelled = frame[spec.training.label].notna().to_numpy()
        known = np.where(labelled, frame[spec.label_known_at].to_numpy(dtype="datetime64[us]"), np.datetime64("NaT"))
        if len(happened) and (np.diff(happened) < np.timedelta64(0)).any():
            raise TrainingError(f"the history must be in order of {spec.event_time}")
        return cls(happened, known, _moments(happened, spec.drift.window_days, split.span_days, windows))

    def in_window(self, start: pd.Timestamp, end: pd.Timestamp) -> slice:
        """Places of the examples in [start, end)."""
        edges = [edge.to_datetime64().astype("datetime64[us]") for edge in (start, end)]
        first, last = np.searchsorted(self.happened, np.asarray(edges))
        return slice(int(first), int(last))

    def label_times(self, window: slice, delayed: bool) -> Times:
        """When the labels of a window became known, those that ever did; not delayed: with the event."""
        known = self.known[window]
        return (known if delayed else self.happened[window])[~np.isnat(known)]

    def new_labels(self, since: pd.Timestamp, until: pd.Timestamp, delayed: bool) -> int:
        """How many became known in (since, until]."""
        times = self.label_times(slice(None), delayed)
        return int(((times > since.to_datetime64()) & (times <= until.to_datetime64())).sum())


def write_history(frame: pd.DataFrame, folder: Path) -> None:
    """Once, in pieces that a reader of a few weeks can skip."""
    path = folder / HISTORY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".partial")
        frame.to_parquet(written, index=False, row_group_size=50_000)
        written.replace(path)


def content_hash(frame: pd.DataFrame, said: Sequence[str]) -> str:
    """Of the rows and of all else that results depend on, as text."""
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    for text in (*map(str, frame.columns), *said):
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def _moments(happened: Times, window_days: int, span_days: int, windows: int | None) -> tuple[pd.Timestamp, ...]:
    if not len(happened):
        raise TrainingError("the history is empty; ingest data first")
    step = pd.Timedelta(days=window_days)
    begins, ends = pd.Timestamp(happened[0]), pd.Timestamp(happened[-1]).normalize() + pd.Timedelta(days=1)
    # The first training reads whole days.
    possible = int((ends - begins.normalize() - pd.Timedelta(days=span_days)) / step)
    count = min(possible, windows) if windows else possible
    if count < 2:
        raise TrainingError(
            f"history from {begins:%Y-%m-%d} to {ends:%Y-%m-%d} holds {max(0, possible)} windows of {window_days} days "
            f"behind the {span_days} days of the first training; a backtest needs 2: ingest more, or shorten the split"
        )
    return tuple(ends - i * step for i in range(count, -1, -1))
