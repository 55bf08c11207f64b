"""`python -m benchmarks.trainers [--json]`: every kind of candidate on the rows of the fraud use case.

The simulator's draw of seed 0, the features and split of fraud/defs.yaml as of 15 August 2018: each kind is searched
(`--trials`) in the same folds, fitted on the same 28 days, calibrated on the same 7 and judged on the same unseen 7.
A kind whose extra is not installed is left out.

Columns: average precision and AUC with 95 % bootstrap intervals; the seconds of the whole training; the median
milliseconds of scoring and of explaining one row on one thread; the stored model's size. `explained within`: how far
the sampled Shapley values lie from those of 100 times as many orders, as a share of their mean size.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import TypeAdapter

from benchmarks._fraud_protocol import both_feature_sets
from benchmarks.fraud_quality import DEFS, FIRST, LAST, simulated
from mlplatform.errors import TrainingError
from mlplatform.home import Home
from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model
from mlplatform.ml.onnx_scorer import OnnxScorer
from mlplatform.ml.shapley import PAIRS, sampled_shapley
from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform.resources.dbt import compile_features
from mlplatform.spec import EnsembleCandidate, SearchedCandidate, Training

AS_OF = pd.Timestamp(LAST)
EXPLAINED = 50
KINDS: Mapping[str, dict[str, str]] = {
    "logistic": {"kind": "sklearn", "model": "logistic"},
    "random_forest": {"kind": "sklearn", "model": "random_forest"},
    "hist_gradient_boosting": {"kind": "sklearn", "model": "hist_gradient_boosting"},
    "torch": {"kind": "torch"},
    "keras": {"kind": "keras"},
}
"""Beside the LightGBM that the use case declares."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    average_precision: tuple[float, float, float]
    auc: tuple[float, float, float]
    calibration_error: float
    seconds: float
    score_ms: float
    explain_ms: float
    kilobytes: float
    explained_within: float | None


def main() -> None:
    options = _options()
    training = Training.model_validate(yaml.safe_load(DEFS.read_text())["attributes"]["training"])
    frame = fraud_rows(training)
    print(f"{len(frame):,} rows, {options.trials} trials of each kind\n")
    print(f"{'kind':<24}{'average precision':>22}{'AUC':>22}{'seconds':>9}{'score ms':>10}{'explain ms':>12}{'kB':>8}")
    models: dict[str, Model] = {}
    rows = []
    for candidate in _candidates(training, options.trials, options.only):
        try:
            trained = train_candidate(frame, candidate, training, event_time="event_time", as_of=AS_OF)
        except TrainingError as error:
            print(f"{candidate.name:<24}left out: {error}")
            continue
        models[candidate.name] = trained.model
        rows.append(_shown(trained, frame))
    if len(models) > 1:
        ensemble = EnsembleCandidate(name="ensemble", kind="ensemble")
        blended = train_ensemble(frame, ensemble, models, training, event_time="event_time", as_of=AS_OF)
        rows.append(_shown(blended, frame))
        print(f"\nthe ensemble: {blended.params}")
    if options.json:
        print(json.dumps({"trials": options.trials, "kinds": [asdict(row) for row in rows]}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=[], help="names of kinds, e.g. lightgbm torch; default: all")
    return parser.parse_args()


def fraud_rows(training: Training) -> pd.DataFrame:
    """The declared features, event time and label of all rows from which the split as of AS_OF is cut."""
    with TemporaryDirectory() as temp:
        query = compile_features(Home(Path(temp)), "fraud")
    frame = both_feature_sets(simulated(0), query, FIRST, LAST)
    return frame[["event_time", *training.features, "is_fraud"]].rename(columns={"is_fraud": training.label})


def _candidates(training: Training, trials: int, only: list[str]) -> list[SearchedCandidate]:
    declared = next(c for c in training.candidates if c.kind == "lightgbm").model_dump()
    kinds: dict[str, dict[str, Any]] = {"lightgbm": declared, **KINDS}
    tuning = {"trials": trials, "seconds": 3600}
    adapter: TypeAdapter[SearchedCandidate] = TypeAdapter(SearchedCandidate)
    return [
        adapter.validate_python({**fields, "name": name, "tuning": tuning})
        for name, fields in kinds.items()
        if not only or name in only
    ]


def _shown(trained: TrainedCandidate, frame: pd.DataFrame) -> Row:
    model, test = trained.model, trained.test.figures
    rows = model.matrix(frame.tail(200))
    row = Row(
        trained.name,
        astuple(test["average_precision"]),
        astuple(test["auc"]),
        test["calibration_error"].value,
        trained.seconds,
        _milliseconds(model.predict, rows),
        _milliseconds(model.explain, rows),
        _kilobytes(model),
        _off(model, rows[:EXPLAINED]),
    )
    within = "" if row.explained_within is None else f"  explained within {row.explained_within:.1%}"
    print(
        f"{row.name:<24}{_interval(row.average_precision):>22}{_interval(row.auc):>22}{row.seconds:>9.0f}"
        f"{row.score_ms:>10.3f}{row.explain_ms:>12.2f}{row.kilobytes:>8.0f}{within}",
        flush=True,
    )
    return row


def _milliseconds(call: Callable[[Floats], Floats], rows: Floats) -> float:
    taken = []
    for at in range(len(rows)):
        started = perf_counter()
        call(rows[at : at + 1])
        taken.append(1000 * (perf_counter() - started))
    return median(taken)


def _kilobytes(model: Model) -> float:
    with TemporaryDirectory() as folder:
        model.save(Path(folder))
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1000


def _off(model: Model, rows: Floats) -> float | None:
    """Mean distance of sampled Shapley values from well sampled ones over the latter's mean size."""
    scorer = model.scorer
    if not isinstance(scorer, OnnxScorer):
        return None
    well = sampled_shapley(scorer.log_odds, rows, np.asarray(scorer.background), 100 * PAIRS)
    return float(np.abs(scorer.contributions(rows) - well).mean() / np.abs(well).mean())


def _interval(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


if __name__ == "__main__":
    main()
