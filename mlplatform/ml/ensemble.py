"""The ensemble candidate: models that are trained already, blended on the tune rows."""

from collections.abc import Mapping
from time import perf_counter

import numpy as np
import pandas as pd

from mlplatform.errors import TrainingError
from mlplatform.ml.blend import BlendScorer
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.model import Model
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import Fitted, LabelledRows, TrainedCandidate, finish, fitted_model
from mlplatform.ml.tuning import Search
from mlplatform.spec.candidate import EnsembleCandidate
from mlplatform.spec.training import Training

__all__ = ["train_ensemble"]


def train_ensemble(
    frame: pd.DataFrame,
    candidate: EnsembleCandidate,
    members: Mapping[str, Model],
    training: Training,
    *,
    event_time: str,
    as_of: pd.Timestamp,
) -> TrainedCandidate:
    """Weigh `members` on the tune rows, calibrate the blend on them and judge it like any candidate.

    The weights are its parameters. The members stopped and were calibrated on the same tune rows, so the weights
    favour a little those that follow them closest; the test rows, which none has seen, judge the blend.

    Raises:
        TrainingError: a member was trained on other columns or categories than these rows have.
    """
    started = perf_counter()
    rows = LabelledRows.of(frame, training, event_time, as_of)
    _require_same_rows(members, rows.encoding)
    tune = rows.examples.at(rows.split.tune)
    task = task_for(training.task)
    columns = np.column_stack([task.middle(member.calibrated(tune.rows)) for member in members.values()])
    weights = dict(zip(members, map(float, task.blend(columns, tune)), strict=True))
    kept = {name: weight for name, weight in weights.items() if weight > 0}
    blend = BlendScorer({name: members[name] for name in kept}, kept)
    found = Search({f"weight_{name}": weight for name, weight in weights.items()}, ())
    model = fitted_model(candidate, blend, rows, training)
    return finish(candidate, Fitted(model, model, int(rows.split.train.sum())), found, rows, training, started)


def _require_same_rows(members: Mapping[str, Model], encoding: Encoding) -> None:
    for name, member in members.items():
        if member.encoding != encoding:
            raise TrainingError(
                f"member {name} was trained on other features or categories than these rows have; train it again"
            )
