"""The step that may take a champion back."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlplatform.ml.backtest.setting import Setting
from mlplatform.ml.backtest.steps import Result, Train, day_of, kind_of
from mlplatform.ml.drift import sample_rows
from mlplatform.ml.succession import MOST_ROWS, Look, compare_successor

__all__ = ["Succeed"]


@dataclass(frozen=True)
class Succeed:
    """A fresh champion beside the model that it replaced, on what it has answered since."""

    champion: Train
    predecessor: Train
    now: pd.Timestamp
    before: pd.Timestamp
    """When a comparison of the two last tested something; the champion's training where none has."""
    expected: float
    """What the champion was promoted by."""

    @property
    def name(self) -> str:
        """By both, the moment, and the one before it that tested something."""
        both = f"{day_of(self.champion.at)}-{day_of(self.predecessor.at)}"
        return f"{kind_of(self.champion.delayed)}/succeed-{both}-{day_of(self.now)}-{day_of(self.before)}"

    def run(self, setting: Setting) -> Result:
        """As `succession` has it: the verdict, its sentence, and whether anything was tested."""
        delayed, since, spec = self.champion.delayed, self.champion.at, setting.spec
        rows, training = setting.rows(since, self.now), setting.training(delayed)
        rows = sample_rows(rows, MOST_ROWS, seed=0).reset_index(drop=True)
        known = rows[spec.label_known_at if delayed else spec.event_time] <= self.now
        rows = rows.assign(**{training.label: rows[training.label].where(known)})
        champion, predecessor = (
            model.predict(model.matrix(rows))
            for model in (self.champion.model(setting), self.predecessor.model(setting))
        )
        fresh = pd.Timedelta(days=spec.rollback.fresh_days)
        told = compare_successor(
            rows,
            champion,
            predecessor,
            training,
            spec.performance,
            spec.rollback,
            event_time=spec.event_time,
            as_of=self.now,
            look=Look((self.before - since) / fresh, (self.now - since) / fresh),
            expected=self.expected,
        )
        return {"verdict": told.verdict, "reason": told.reason, "tested": bool(np.isfinite(told.level))}
