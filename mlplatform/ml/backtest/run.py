"""All policies at once: replays wait for steps, steps run beside each other, each is done once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.backtest.history import History, content_hash, write_history
from mlplatform.ml.backtest.replay import Progress, Replay, foreseen
from mlplatform.ml.backtest.result import Backtest, PolicyRun
from mlplatform.ml.backtest.setting import Setting
from mlplatform.ml.backtest.steps import Result, Step
from mlplatform.ml.backtest.workers import Submit, workers
from mlplatform.spec.candidate import EnsembleCandidate, SearchedCandidate
from mlplatform.spec.policy import AnyPolicy
from mlplatform.spec.use_case import UseCase

__all__ = ["backtest"]


def backtest(
    history: pd.DataFrame,
    spec: UseCase,
    policies: Mapping[str, AnyPolicy],
    *,
    folder: Path,
    version: str = "",
    windows: int | None = None,
    jobs: int | None = None,
    progress: Progress = lambda _: None,
) -> Backtest:
    """Replay `history` for every policy, with labels as they came and as if known at once.

    `history`: all examples in order of event time, with features, label, `label_known_at`, and whatever else the
    training names. The last `windows` windows of `drift.window_days` are replayed (default: all behind the first
    training). The first candidate that is no ensemble is trained, with its declared parameters or where its search
    would begin. `folder` keeps finished steps: a run that was killed goes on from them; rows, declaration or
    `version` (of the code) that differ begin anew. At most `jobs` processes work (default: one for each core).

    Features are as the history has them, also where labels are known at once: those that are made of labels still
    wait for them.

    Raises:
        TrainingError: history is too short, or the split is not by time.
    """
    clock = History.of(history, spec, windows)
    candidate = _candidate(spec)
    parts = (spec.training, spec.drift, spec.performance, spec.rollback, candidate)
    declared = [*(part.model_dump_json() for part in parts), version]
    setting = Setting(folder / content_hash(history, declared), spec, candidate)
    write_history(history, setting.folder)
    named = {"never": policies["never"], **policies} if "never" in policies else dict(policies)
    replays = {
        (name, delayed): Replay(name, policy, delayed, spec, clock, progress)
        for delayed in (True, False)
        for name, policy in named.items()
    }
    ahead = [step for (_, delayed), each in replays.items() for step in foreseen(each.policy, clock.moments, delayed)]
    with workers(setting, jobs) as submit:
        runs = _Replays(replays, submit).run(ahead)
    return Backtest(spec.name, str(spec.training.metric), tuple(runs[key] for key in replays))


def _candidate(spec: UseCase) -> SearchedCandidate:
    """The first that learns by itself, without a search."""
    plain = [each for each in spec.training.candidates if not isinstance(each, EnsembleCandidate)]
    if not plain:
        raise TrainingError(f"{spec.name} declares no candidate that is no ensemble")
    tuning = plain[0].tuning.model_copy(update={"trials": 0})
    return plain[0].model_copy(update={"tuning": tuning})


Key = tuple[str, bool]


@dataclass
class _Replays:
    """Who waits for which step."""

    replays: Mapping[Key, Replay]
    submit: Submit
    begun: "dict[Step, Future[Result]]" = field(default_factory=dict)
    waiting: dict[Step, list[Key]] = field(default_factory=lambda: defaultdict(list))
    runs: dict[Key, PolicyRun] = field(default_factory=dict)

    def run(self, ahead: Iterable[Step]) -> dict[Key, PolicyRun]:
        """Until all replays have ended."""
        asking = {key: replay.run() for key, replay in self.replays.items()}
        for step in ahead:
            self._begin(step)
        ready: list[tuple[Key, Result | None]] = [(key, None) for key in asking]
        while ready or self.waiting:
            for key, result in ready:
                try:
                    step = next(asking[key]) if result is None else asking[key].send(result)
                except StopIteration as ended:
                    self.runs[key] = ended.value
                else:
                    self._begin(step)
                    self.waiting[step].append(key)
            ready = self._finished()
        return self.runs

    def _begin(self, step: Step) -> None:
        if step not in self.begun:
            self.begun[step] = self.submit(step)

    def _finished(self) -> list[tuple[Key, Result | None]]:
        """Waits for at least one of the steps that somebody waits for."""
        if not self.waiting:
            return []
        wait([self.begun[step] for step in self.waiting], return_when=FIRST_COMPLETED)
        over = [step for step in self.waiting if self.begun[step].done()]
        return [(key, self.begun[step].result()) for step in over for key in self.waiting.pop(step)]
