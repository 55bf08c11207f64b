"""The platform's models on the rows of a panel: declared candidates, trained again at the first origin of a fold."""

from collections.abc import Sequence

import pandas as pd

from benchmarks._demand_panels import Panel
from mlplatform.ml.train import train_candidate
from mlplatform.spec import Training

__all__ = ["WEATHER", "forecasts"]

WEATHER = ["temperature_forecast", "temperature_forecast_mean", "temperature_forecast_max"]
"""Features of the made-up forecasts, which the declaration leaves out."""


def forecasts(panel: Panel, candidate: str, more: Sequence[str] = ()) -> pd.DataFrame:
    """Columns `series`, `event_time`, `horizon`, `low`, `middle`, `high` of every judged row.

    The candidate keeps its declared parameters and does not search. It learns from rows whose label is known at the
    fold's first origin: the declared tune part last, all before it (and the gap) to train on, one day as the test part
    that the platform asks for and nobody looks at.
    """
    spec = panel.spec
    training = spec.training.model_copy(update={"features": [*spec.training.features, *more]})
    declared = next(c for c in training.candidates if c.name == candidate)
    declared = declared.model_copy(update={"tuning": declared.tuning.model_copy(update={"trials": 0})})
    found = [_fold(panel, fold, declared, training) for fold in panel.folds]
    return pd.concat(found, ignore_index=True)


def _fold(panel: Panel, fold: Sequence[pd.Timestamp], candidate: object, training: Training) -> pd.DataFrame:
    known = panel.rows[panel.rows["label"].notna() & (panel.rows["label_known_at"] <= fold[0])]
    split = training.split.model_copy(update={"test_days": 1, "train_days": 365})
    model = train_candidate(
        known,
        candidate,  # type: ignore[arg-type]
        training.model_copy(update={"split": split}),
        event_time="event_time",
        as_of=fold[0],
    ).model
    asked = pd.concat([panel.asked(origin) for origin in fold], ignore_index=True)
    answers = model.predict(model.matrix(asked))
    named = {"low": answers[:, 0], "middle": answers[:, 1], "high": answers[:, 2]}
    return asked[["series", "event_time", "horizon"]].assign(**named)
