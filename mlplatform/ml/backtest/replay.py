"""One policy through history. A replay asks for steps and goes on when it gets their results."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.backtest.history import History
from mlplatform.ml.backtest.result import PolicyRun, ReplayedWindow
from mlplatform.ml.backtest.steps import Compare, Drift, Performance, Result, Step, Train
from mlplatform.ml.backtest.succeed import Succeed
from mlplatform.ml.decision import Champion, Decision, decide
from mlplatform.ml.performance import PerformanceWindow
from mlplatform.ml.signals import WindowEvidence
from mlplatform.spec.policy import AnyPolicy
from mlplatform.spec.use_case import UseCase

__all__ = ["Progress", "Replay", "foreseen"]

Progress = Callable[[str], None]
Asking = Generator[Step, Result, Any]


@dataclass
class Replay:
    """The state of one policy at one moment of history."""

    name: str
    policy: AnyPolicy
    delayed: bool
    spec: UseCase
    history: History
    progress: Progress
    model: Train = field(init=False)
    """What answers."""
    expected: float = field(init=False)
    """What it reached on its test rows."""
    trained_at: pd.Timestamp = field(init=False)
    """The latest training, promoted or refused."""
    seconds: float = field(init=False)
    """How long that took."""
    replaced: "tuple[Train, float] | None" = None
    """Whom the model took over from by a promotion, and what that one was expected to reach."""
    looked_at: pd.Timestamp = field(init=False)
    """When a comparison of the two last tested something; the promotion before that."""
    paused: tuple[pd.Timestamp, str] | None = None
    """Until when nothing is trained after a rollback, and why."""
    windows: list[ReplayedWindow] = field(default_factory=list)

    def run(self) -> Generator[Step, Result, PolicyRun]:
        """From the first training to the end of history."""
        begins = self.history.moments[0]
        first = yield from self._first(begins)
        last = len(self.history.moments) - 2
        for i, (start, end) in enumerate(pairwise(self.history.moments)):
            window = yield from self._served(start, end)
            if i < last:
                window = yield from self._looked_back(window)
                window = yield from self._decided(window)
            self.windows.append(window)
            self.progress(self._told(i + 1, last + 1, window))
        return PolicyRun(self.name, self.delayed, first["seconds"], tuple(self.windows))

    def _first(self, at: pd.Timestamp) -> Generator[Step, Result, Result]:
        """The model that all policies begin with, whatever the gates say: there is no other."""
        self.model = Train(at, self.delayed)
        found = yield self.model
        if "failed" in found:
            raise TrainingError(f"the first model of the backtest, as of {at}, cannot be trained: {found['failed']}")
        self.expected, self.trained_at, self.seconds = found["expected"], at, found["seconds"]
        return found

    def _served(self, start: pd.Timestamp, end: pd.Timestamp) -> Generator[Step, Result, ReplayedWindow]:
        """The window is judged by all of its labels: what counts is how good the answers were, not when one knew."""
        times = self.history.label_times(self.history.in_window(start, end), self.delayed)
        if not len(times):
            return ReplayedWindow(start, end, 0, float("nan"), self.model.at, "", "")
        found = yield Performance(self.model, start, end, pd.Timestamp(times.max()))
        names = ("value", "low", "high", "estimate")
        value, low, high, estimate = (float("nan") if found[name] is None else float(found[name]) for name in names)
        window = ReplayedWindow(start, end, found["labelled"], value, self.model.at, "", "")
        return replace(window, low=low, high=high, estimate=estimate, promised=self.expected)

    def _looked_back(self, window: ReplayedWindow) -> Generator[Step, Result, ReplayedWindow]:
        """A fresh champion that does worse than the model before it gives way to that one, and training rests."""
        rule, now = self.spec.rollback, window.end
        if self.replaced is None or now > self.model.at + pd.Timedelta(days=rule.fresh_days):
            return window
        before, expected = self.replaced
        found = yield Succeed(self.model, before, now, self.looked_at, self.expected)
        if found["tested"]:
            self.looked_at = now
        if found["verdict"] != "roll_back" or not rule.automatic:
            return window
        self.paused = (
            now + pd.Timedelta(days=rule.pause_days),
            f"the model of {self.model.at:%Y-%m-%d} was taken back",
        )
        # Who comes back came by no promotion: there is nobody to compare it with.
        self.model, self.expected, self.replaced = before, expected, None
        return replace(window, taken_back=found["reason"])

    def _decided(self, window: ReplayedWindow) -> Generator[Step, Result, ReplayedWindow]:
        decision = yield from self._decide(window)
        window = replace(window, verdict=decision.verdict, reason=decision.reason)
        if decision.verdict != "retrain":
            return window
        challenger = Train(window.end, self.delayed)
        trained = yield challenger
        if "failed" in trained:
            return replace(window, trained=True, outcome=trained["failed"])
        compared = yield Compare(challenger, self.model)
        self.trained_at, self.seconds = window.end, trained["seconds"]
        if compared["promoted"]:
            self.replaced, self.looked_at = (self.model, self.expected), window.end
            self.model, self.expected = challenger, trained["expected"]
        seconds = trained["seconds"] + compared["seconds"]
        promoted, verdict = compared["promoted"], compared["verdict"]
        return replace(window, trained=True, promoted=promoted, outcome=verdict, seconds=seconds)

    def _decide(self, window: ReplayedWindow) -> Generator[Step, Result, Decision]:
        now = window.end
        drift = yield from self._drift(now)
        served = yield from self._performance([*self.windows, window], now)
        until, why = self.paused or (None, "")
        return decide(
            self.spec.name,
            drift,
            self.policy,
            as_of=now,
            champion=Champion(self.model.name, self.trained_at, self.seconds),
            new_labelled_rows=self.history.new_labels(self.trained_at, now, self.delayed),
            performance=served,
            paused_until=until,
            pause_reason=why,
        )

    def _drift(self, now: pd.Timestamp) -> Generator[Step, Result, list[WindowEvidence]]:
        """As the drift report measures: the latest windows against the model of today, also those before it."""
        asked, found = self.policy.on_drift, []
        step = pd.Timedelta(days=self.spec.drift.window_days)
        for i in range(asked.windows if asked else 0):
            end = now - i * step
            result = yield Drift(self.model, end - step, end)
            share, columns = result["importance_share"], tuple(result["drifted"])
            found.append(WindowEvidence(end - step, end, result["enough_rows"], share, columns))
        return found

    def _performance(
        self, windows: Sequence[ReplayedWindow], now: pd.Timestamp
    ) -> Generator[Step, Result, list[PerformanceWindow]]:
        """Of the windows that the model of today has answered and whose labels are mature."""
        found = []
        for start, end in ((window.start, window.end) for window in windows if window.model == self.model.at):
            if self.policy.on_performance and self._is_mature(start, end, now):
                found.append((yield from self._measured(start, end, now)))
        return found

    def _is_mature(self, start: pd.Timestamp, end: pd.Timestamp, now: pd.Timestamp) -> bool:
        """Labels had the time that they need, and most have come."""
        window, asked = self.history.in_window(start, end), self.spec.performance
        labelled = int((self.history.label_times(window, self.delayed) <= now.to_datetime64()).sum())
        delay = pd.Timedelta(days=self.spec.training.split.delay_days if self.delayed else 0)
        enough = labelled >= max(asked.min_labelled, asked.min_coverage * (window.stop - window.start))
        return bool(enough and end + delay <= now)

    def _measured(
        self, start: pd.Timestamp, end: pd.Timestamp, now: pd.Timestamp
    ) -> Generator[Step, Result, PerformanceWindow]:
        times = self.history.label_times(self.history.in_window(start, end), self.delayed)
        # The last moment at which something changed: later ones see the same, and share the result.
        known = pd.Timestamp(times[times <= now.to_datetime64()].max())
        found = yield Performance(self.model, start, end, known)
        value, low, high = (np.nan if found[name] is None else found[name] for name in ("value", "low", "high"))
        return PerformanceWindow(
            start,
            end,
            self.model.name,
            str(self.spec.training.metric),
            value,
            low,
            high,
            self.expected,
            predictions=found["predictions"],
            labelled=found["labelled"],
            state="mature",
        )

    def _told(self, number: int, count: int, window: ReplayedWindow) -> str:
        labels = "as they come" if self.delayed else "at once"
        end = f"{window.verdict}: {window.reason}" if window.verdict else "the last window"
        if window.trained:
            end = f"retrained ({window.seconds:.1f} s), {'promoted' if window.promoted else 'refused'}: {window.reason}"
        if window.taken_back:
            end = f"the model of before is back, {window.taken_back}; {end}"
        figure = f"{self.spec.training.metric} {window.value:.3f}"
        return f"{self.name}, labels {labels}, {number}/{count} to {window.end:%Y-%m-%d}: {figure}; {end}"


def foreseen(policy: AnyPolicy, moments: tuple[pd.Timestamp, ...], delayed: bool) -> list[Train]:
    """Trainings of a policy that can be known before any of its windows is replayed: those of a schedule."""
    trained, found = moments[0], [Train(moments[0], delayed)]
    for moment in moments[1:-1]:
        if policy.kind == "schedule" and moment - trained >= pd.Timedelta(days=policy.every_days):
            trained = moment
            found.append(Train(moment, delayed))
    return found
