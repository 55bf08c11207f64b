"""A model of the columns of benchmarks/drift.py, for the drift of its answers and explanations."""

import numpy as np
import pandas as pd

from benchmarks._drift_streams import CATEGORIES, COLUMNS, REFERENCE_DAYS, World
from mlplatform.ml.model import Model
from mlplatform.ml.train import train_candidate
from mlplatform.spec.candidate import LightGBMCandidate, Tuning
from mlplatform.spec.split import SplitByTime
from mlplatform.spec.task import BinaryTask, Costs
from mlplatform.spec.training import Gates, Training


def trained_on(world: World, random: np.random.Generator, rows: int) -> tuple[Model, pd.DataFrame]:
    """LightGBM and the rows that it learned from: the platform's reference is a sample of them, so a model that knows
    them too well is part of what is measured."""
    frame = world.rows(random, rows, REFERENCE_DAYS)
    log_odds = -2.5 + 1.2 * frame["normal_1"] + 0.15 * frame["amount_0"] + 1.0 * (frame["kind_3"] == "v1")
    frame = frame.assign(label=(random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(int))
    candidate = LightGBMCandidate(name="trees", kind="lightgbm", rounds=100, tuning=Tuning(trials=1, seconds=30))
    training = Training(
        task=BinaryTask(costs=Costs(false_positive=1, false_negative=5)),
        features=COLUMNS,
        categorical=list(CATEGORIES),
        split=SplitByTime(label_delay_days=0, train_days=REFERENCE_DAYS - 9, tune_days=6, test_days=3),
        candidates=[candidate],
        gates=Gates(floor=0.0),
    )
    as_of = frame["event_time"].max().normalize() + pd.Timedelta(days=1)
    model = train_candidate(frame, candidate, training, event_time="event_time", as_of=as_of).model
    return model, frame[frame["event_time"] < model.learned_until]
