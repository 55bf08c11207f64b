"""What every step of a backtest reads: the rows of history on disk, and what is declared."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlplatform.spec.candidate import SearchedCandidate
from mlplatform.spec.split import SplitByTime
from mlplatform.spec.training import Training
from mlplatform.spec.use_case import UseCase

__all__ = ["HISTORY_FILE", "Setting"]

HISTORY_FILE = "history.parquet"


@dataclass(frozen=True)
class Setting:
    """Small enough to be sent to each worker; the rows stay on disk."""

    folder: Path
    """Holds the rows of history, in order of time, and everything that was worked out from them."""
    spec: UseCase
    candidate: SearchedCandidate
    """What is trained, without a search."""

    def training(self, delayed: bool) -> Training:
        """As declared; where labels are known at once there is nothing to wait for between the parts."""
        training = self.spec.training
        assert isinstance(training.split, SplitByTime)
        if delayed:
            return training
        return training.model_copy(update={"split": training.split.model_copy(update={"label_delay_days": 0})})

    def rows(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Examples with an event time in [start, end)."""
        time = self.spec.event_time
        found: pd.DataFrame = pd.read_parquet(
            self.folder / HISTORY_FILE, filters=[(time, ">=", start.to_pydatetime()), (time, "<", end.to_pydatetime())]
        )
        return found

    def labelled(self, start: pd.Timestamp, end: pd.Timestamp, known: pd.Timestamp, delayed: bool) -> pd.DataFrame:
        """Those of them whose label is known at the moment `known`; labels that are not delayed, with the event."""
        rows = self.rows(start, end)
        at = self.spec.label_known_at if delayed else self.spec.event_time
        return rows[rows[self.spec.training.label].notna() & (rows[at] <= known)].reset_index(drop=True)
