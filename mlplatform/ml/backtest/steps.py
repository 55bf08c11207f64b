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
from mlplatform.ml.bootstrap import bootstrap_figures, estimate
from mlplatform.ml.compare import compare
from mlplatform.ml.drift import find_drift, sample_rows
from mlplatform.ml.model import Model
from mlplatform.ml.splits import cut_parts, rows_in_use
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import labelled_examples, train_candidate

__all__ = ["Compare", "Drift", "Performance", "Result", "Step", "Train", "done", "run_step"]

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


def _day(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%dT%H%M}"


def _kind(delayed: bool) -> str:
    return "delayed" if delayed else "at-once"


@dataclass(frozen=True)
class Train:
    """A model as it could have been trained at a moment."""

    at: pd.Timestamp
    delayed: bool

    @property
    def name(self) -> str:
        """By moment and label delay."""
        return f"{_kind(self.delayed)}/train-{_day(self.at)}"

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
        learned = rows.loc[parts.train | parts.tune, list(training.features)]
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
        against = _day(self.incumbent.at) if self.incumbent else "nobody"
        return f"{_kind(self.challenger.delayed)}/compare-{_day(self.challenger.at)}-{against}"

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
        return f"{_kind(self.model.delayed)}/drift-{_day(self.model.at)}-{_day(self.end)}"

    def run(self, setting: Setting) -> Result:
        """As the drift report has it."""
        folder, training = self.model.folder(setting), setting.spec.training
        found = find_drift(
            pd.read_parquet(folder / REFERENCE_FILE),
            setting.rows(self.start, self.end),
            setting.spec.drift,
            columns=training.features,
            categorical=training.categorical,
            importance=json.loads((folder / IMPORTANCE_FILE).read_text(encoding="utf-8")),
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
        window = f"{_day(self.model.at)}-{_day(self.end)}-{_day(self.known)}"
        return f"{_kind(self.model.delayed)}/performance-{window}"

    def run(self, setting: Setting) -> Result:
        """Value and interval; null where there is none, such as for a window without positives."""
        training, time = setting.training(self.model.delayed), setting.spec.event_time
        rows = setting.labelled(self.start, self.end, self.known, self.model.delayed)
        model, task = self.model.model(setting), task_for(training.task)
        examples = labelled_examples(rows, model.matrix(rows), training, time)
        evidence = task.evidence(examples.labels)
        if not evidence.any():
            return {"rows": len(rows), "value": None, "low": None, "high": None}
        figure = {"metric": task.figure(training.metric, examples, model.predict(examples.rows))}
        drawn = task.resamples(examples, training.gates.bootstrap_samples, setting.candidate.seed)
        found = estimate(bootstrap_figures(figure, drawn, examples.weights)["metric"], training.gates.confidence)
        told = {name: getattr(found, name) for name in ("value", "low", "high")}
        return {"rows": len(rows), **{name: value if np.isfinite(value) else None for name, value in told.items()}}
