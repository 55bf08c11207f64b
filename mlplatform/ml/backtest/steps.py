"""The steps that replays ask for, each a pure function of the history: shared by policies, kept on disk, run anywhere.

A step that has ended left its result as JSON, written last; a kill leaves none, and the step is done again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.backtest.setting import Setting
from mlplatform.ml.compare import compare
from mlplatform.ml.design_effect import time_blocks
from mlplatform.ml.drift import find_drift, sample_rows
from mlplatform.ml.model import Model
from mlplatform.ml.performance import Served, judge_window
from mlplatform.ml.splits import cut_parts, rows_in_use
from mlplatform.ml.train import train_candidate

__all__ = ["Compare", "Drift", "Performance", "Result", "Step", "Train", "day_of", "done", "kind_of", "run_step"]

Result = dict[str, Any]
IMPORTANCE_FILE, REFERENCE_FILE = "importance.json", "reference.parquet"


class Step(Protocol):
    """Hashable: equal steps are done once."""

    @property
    def name(self) -> str:
        """Of its files, below the folder of the backtest."""
        ...

    def run(self, setting: Setting) -> Result:
        """What it found, as JSON has it."""
        ...


def done(step: Step, setting: Setting) -> Result | None:
    """The result of a step that has ended, in this or in an earlier run."""
    path = _result_file(step, setting)
    found: Result | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def run_step(step: Step, setting: Setting) -> Result:
    """Do a step, or recall it."""
    found = done(step, setting)
    if found is not None:
        return found
    result = step.run(setting)
    path = _result_file(step, setting)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_text(json.dumps(result), encoding="utf-8")
    written.replace(path)
    return result


def _result_file(step: Step, setting: Setting) -> Path:
    return setting.folder / f"{step.name}.json"


def day_of(moment: pd.Timestamp) -> str:
    """In the name of a file."""
    return f"{moment:%Y-%m-%dT%H%M}"


def kind_of(delayed: bool) -> str:
    """The folder of all steps with, or without, label delay."""
    return "delayed" if delayed else "at-once"


@dataclass(frozen=True)
class Train:
    """A model as it could have been trained at a moment."""

    at: pd.Timestamp
    delayed: bool

    @property
    def name(self) -> str:
        """By moment and label delay."""
        return f"{kind_of(self.delayed)}/train-{day_of(self.at)}"

    def folder(self, setting: Setting) -> Path:
        """Where the model lies."""
        return setting.folder / self.name

    def model(self, setting: Setting) -> Model:
        """Read back."""
        return Model.load(self.folder(setting))

    def rows(self, setting: Setting) -> pd.DataFrame:
        """Labelled rows of the three parts, as known then."""
        window = rows_in_use(setting.training(self.delayed).split, self.at)
        return setting.labelled(window.start, window.end, self.at, self.delayed)

    def run(self, setting: Setting) -> Result:
        """Seconds, and the metric on the test rows; or why it could not be trained."""
        training, spec = setting.training(self.delayed), setting.spec
        rows = self.rows(setting)
        try:
            found = train_candidate(rows, setting.candidate, training, event_time=spec.event_time, as_of=self.at)
        except TrainingError as error:
            return {"failed": str(error), "seconds": 0.0}
        folder = self.folder(setting)
        found.model.save(folder)
        (folder / IMPORTANCE_FILE).write_text(json.dumps(dict(found.importance)), encoding="utf-8")
        parts = cut_parts(rows, training.split, spec.event_time, self.at)
        columns = [*training.features, spec.event_time]
        learned = rows.loc[parts.train | parts.tune, list(dict.fromkeys(columns))]
        sample_rows(learned, spec.drift.sample_rows, seed=0).to_parquet(folder / REFERENCE_FILE, index=False)
        return {"seconds": found.seconds, "expected": found.test.figures[training.metric].value}


@dataclass(frozen=True)
class Compare:
    """Promotion: the gates of a challenger beside the incumbent, on the challenger's test rows."""

    challenger: Train
    incumbent: Train | None

    @property
    def name(self) -> str:
        """By both."""
        against = day_of(self.incumbent.at) if self.incumbent else "nobody"
        return f"{kind_of(self.challenger.delayed)}/compare-{day_of(self.challenger.at)}-{against}"

    def run(self, setting: Setting) -> Result:
        """Whether it is promoted, and the verdict."""
        started, each = perf_counter(), self.challenger
        training, time = setting.training(each.delayed), setting.spec.event_time
        rows = each.rows(setting)
        test = rows[cut_parts(rows, training.split, time, each.at).test]
        against = ("incumbent", self.incumbent.model(setting)) if self.incumbent else None
        try:
            found = compare({"challenger": each.model(setting)}, against, test, training, event_time=time)
        except TrainingError as error:
            return {"promoted": False, "verdict": f"not compared: {error}", "seconds": perf_counter() - started}
        seconds = perf_counter() - started
        return {"promoted": found.winner is not None, "verdict": found.verdict, "seconds": seconds}


@dataclass(frozen=True)
class Drift:
    """A window against what a model was trained on."""

    model: Train
    start: pd.Timestamp
    end: pd.Timestamp

    @property
    def name(self) -> str:
        """By model and window."""
        return f"{kind_of(self.model.delayed)}/drift-{day_of(self.model.at)}-{day_of(self.end)}"

    def run(self, setting: Setting) -> Result:
        """As the drift report has it."""
        folder, spec, model = self.model.folder(setting), setting.spec, self.model.model(setting)
        old, new = pd.read_parquet(folder / REFERENCE_FILE), setting.rows(self.start, self.end)
        found = find_drift(
            old,
            new,
            spec.drift,
            columns=model.features,
            categorical=model.categorical,
            importance=json.loads((folder / IMPORTANCE_FILE).read_text(encoding="utf-8")),
            blocks=(
                time_blocks(old[spec.event_time], spec.drift.window_days),
                time_blocks(new[spec.event_time], spec.drift.window_days),
            ),
        )
        return {
            "enough_rows": found.enough_rows,
            "importance_share": found.importance_share,
            "drifted": list(found.drifted),
        }


@dataclass(frozen=True)
class Performance:
    """The metric of a model on a window, on the labels that are known at a moment."""

    model: Train
    start: pd.Timestamp
    end: pd.Timestamp
    known: pd.Timestamp

    @property
    def name(self) -> str:
        """By model, window and moment."""
        window = f"{day_of(self.model.at)}-{day_of(self.end)}-{day_of(self.known)}"
        return f"{kind_of(self.model.delayed)}/performance-{window}"

    def run(self, setting: Setting) -> Result:
        """As the performance report has it; null where there is no figure, such as for a window without positives."""
        delayed, time, training = self.model.delayed, setting.spec.event_time, setting.training(self.model.delayed)
        rows, model = setting.rows(self.start, self.end), self.model.model(setting)
        known = rows[setting.spec.label_known_at if delayed else time] <= self.known
        served = Served(
            self.model.name,
            rows.assign(**{training.label: rows[training.label].where(known)}),
            model.predict(model.matrix(rows)),
        )
        # Windows of drift and of performance are the same here.
        days = {"window_days": setting.spec.drift.window_days}
        asked = setting.spec.performance.model_copy(update=days)
        found = judge_window(served, training, asked, start=self.start, as_of=self.known, event_time=time)
        figures = {name: getattr(found, name) for name in ("value", "low", "high", "estimate")}
        told = {name: value if np.isfinite(value) else None for name, value in figures.items()}
        return {"predictions": found.predictions, "labelled": found.labelled, **told}
