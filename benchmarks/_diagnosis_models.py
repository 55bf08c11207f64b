"""The models of `diagnosis`: those declared in defs.yaml, and what a statistician would fit first."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks._diagnosis_cohort import HORIZON_DAYS
from mlplatform.ml.metrics import Floats
from mlplatform.ml.splits import Parts
from mlplatform.ml.train import train_candidate
from mlplatform.spec import Training

__all__ = ["PLAIN", "baselines", "declared"]

PLAIN = ["age", "male", "bmi", "sbp_last", "hdl_last", "fib4_last", "smokes"]
"""Age, sex, body mass index and the last values; missing ones are the median of the training rows."""


def declared(labelled: pd.DataFrame, test: pd.DataFrame, training: Training, as_of: pd.Timestamp) -> dict[str, Floats]:
    """Probabilities of the test rows by each declared candidate; the last one learned without weights."""
    plain = training.model_copy(update={"weight": None})
    tried = [(c.name, c, training) for c in training.candidates]
    tried.append((f"{tried[0][0]}, labels as they come", training.candidates[0], plain))
    found = {}
    for name, candidate, how in tried:
        model = train_candidate(labelled, candidate, how, event_time="event_time", as_of=as_of).model
        found[name] = model.predict(model.matrix(test))
    return found


def baselines(
    everybody: pd.DataFrame, labelled: pd.DataFrame, parts: Mapping[str, Parts], test: pd.DataFrame
) -> dict[str, Floats]:
    """Probabilities by a plain logistic regression and a Cox model, of the train and tune rows together.

    The logistic regression learns from the labelled rows with their weights; the Cox model from all rows, those lost
    early too, which is its own way of dealing with them.
    """
    from sklearn.linear_model import LogisticRegression

    known = labelled[parts["labelled"].train | parts["labelled"].tune]
    all_rows = everybody[parts["everybody"].train | parts["everybody"].tune]
    scale = _Scale(all_rows)
    plain = LogisticRegression(C=np.inf, max_iter=1000)
    plain.fit(scale(known), known["label"].astype(int), sample_weight=known["label_weight"])
    return {
        "plain logistic regression": plain.predict_proba(scale(test))[:, 1],
        "Cox model": _cox(scale(all_rows), all_rows, scale(test)),
    }


class _Scale:
    """Medians for missing values, then mean 0 and deviation 1, as of the rows it is made from."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.median = rows[PLAIN].median()
        filled = rows[PLAIN].fillna(self.median)
        self.mean, self.deviation = filled.mean(), filled.std()

    def __call__(self, rows: pd.DataFrame) -> Floats:
        return ((rows[PLAIN].fillna(self.median) - self.mean) / self.deviation).to_numpy(dtype=np.float64)


def _cox(design: Floats, rows: pd.DataFrame, test: Floats) -> Floats:
    """Cox (1972), ties by Breslow; the risk of an event by the horizon."""
    from statsmodels.duration.hazard_regression import PHReg

    days = np.minimum(rows["days"].to_numpy(), HORIZON_DAYS)
    event = rows["event"].to_numpy() & (rows["days"].to_numpy() <= HORIZON_DAYS)
    fitted = PHReg(days, design, status=event.astype(int), ties="breslow").fit(disp=0)
    times, hazard, _ = fitted.baseline_cumulative_hazard[0]
    until = float(hazard[times <= HORIZON_DAYS][-1])
    return 1 - np.exp(-until * np.exp(test @ fitted.params))
