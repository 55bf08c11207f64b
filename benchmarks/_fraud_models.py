"""The models of `fraud_quality`: this platform's as fraud/defs.yaml declares it, and the handbook's three."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._fraud_protocol import HANDBOOK_FEATURES, Weeks, weeks
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.ml.tasks import task_for
from mlplatform.ml.trainer import Params, trainer_for
from mlplatform.ml.tuning import search
from mlplatform.spec import LightGBMCandidate, Training

__all__ = ["TRAIN", "ours", "peers", "searched"]

TRAIN = "2018-07-25"
EARLIER = ("2018-06-06", "2018-06-13", "2018-06-20", "2018-06-27", "2018-07-04")
"""Training weeks of the search; the last one is tested on 18-24 July, whose labels are known before 8 August."""
WATCHED = ("2018-07-18", "2018-07-25")
"""Rows that stop the boosting: the week before the training week."""
SEEDS = (7, 8, 9)


def searched(frame: pd.DataFrame, training: Training, trials: int) -> Params:
    """The best parameters of the declared trees on the protocol moved to earlier weeks."""
    encoding, candidate = _declared(frame, training)
    folds = [(_labelled(encoding, cut.train), _labelled(encoding, cut.test)) for cut in _earlier(frame)]
    budget = candidate.tuning.model_copy(update={"trials": trials, "seconds": 600.0})
    return search(
        trainer_for(candidate, encoding, training.metric, training.task),
        folds,
        budget,
        task_for(training.task),
        training.metric,
    ).params


def ours(frame: pd.DataFrame, training: Training, params: Params) -> list[Floats]:
    """Log-odds of the test rows by the declared trees, once for each training seed."""
    encoding, candidate = _declared(frame, training)
    cut = weeks(frame, TRAIN)
    train, test = _labelled(encoding, cut.train), _labelled(encoding, cut.test)
    watched = _labelled(encoding, frame[frame["event_time"].between(*WATCHED, inclusive="left")])
    scores = []
    for seed in SEEDS:
        trainer = trainer_for(candidate.model_copy(update={"seed": seed}), encoding, training.metric, training.task)
        scores.append(trainer.prepare(train, watched, 2)(params).raw(test.rows))
    return scores


def peers(cut: Weeks) -> dict[str, Floats]:
    """Scores of the test rows by the handbook's models with its features and its settings (the libraries' defaults).

    Its XGBoost was 1.3, whose defaults were exact splits and a first guess of 0.5; those of today, histograms and
    the share of frauds, do worse on so few frauds.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBClassifier

    models: dict[str, Any] = {
        "logistic regression": LogisticRegression(random_state=0, max_iter=1000),
        "random forest": RandomForestClassifier(random_state=0, n_jobs=2),
        "XGBoost": XGBClassifier(random_state=0, n_jobs=2, tree_method="exact", base_score=0.5),
        "XGBoost, today's defaults": XGBClassifier(random_state=0, n_jobs=2),
    }
    names = list(HANDBOOK_FEATURES)
    return {
        name: make_pipeline(StandardScaler(), model)
        .fit(cut.train[names], cut.train["is_fraud"])
        .predict_proba(cut.test[names])[:, 1]
        for name, model in models.items()
    }


def _declared(frame: pd.DataFrame, training: Training) -> tuple[Encoding, LightGBMCandidate]:
    encoding = Encoding.learn(frame, training.features, training.categorical)
    return encoding, next(c for c in training.candidates if isinstance(c, LightGBMCandidate))


def _earlier(frame: pd.DataFrame) -> Iterator[Weeks]:
    return (weeks(frame, start) for start in EARLIER)


def _labelled(encoding: Encoding, rows: pd.DataFrame) -> Examples:
    return Examples(encoding.matrix(rows), rows["is_fraud"].to_numpy(dtype=np.int64))
