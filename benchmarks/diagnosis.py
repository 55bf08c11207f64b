"""`python -m benchmarks.diagnosis [--json]`: the diagnosis use case beside a plain logistic regression and a Cox model.

The published cohort (R package survival, nafld; needs the extras `datasets` and `bench`), the landmarks, features and
labels of the use case's own SQL, people dealt to train, tune and test by the declared split. Every model is judged on
the same test rows, each counted by its weight: one over the chance of having been followed so long.

- AUC, Brier score, calibration slope (the slope of a logistic regression of the outcome on the predicted log-odds; 1 is
  right, below 1 too extreme: Cox 1958, Steyerberg 2009), mean predicted risk beside the observed one.
- Intervals: 95 %, bootstrap over people (all rows of a person are drawn together), the same draws for every model.
- `--deals`: the same once more for other seeds of the split, as how much a figure owes to who lies in the test part.

The declared candidates search and stop on train and tune; the two baselines learn from both together.
"""

import argparse
import json
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from benchmarks._diagnosis_cohort import landmarks
from benchmarks._diagnosis_models import baselines, declared
from mlplatform.ml.bootstrap import Estimate, difference, estimate, resamples
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.metrics import Floats, Labels, brier, net_benefit, rank, ranking_metric
from mlplatform.ml.splits import cut_parts
from mlplatform.ml.threshold import cost_threshold
from mlplatform.spec import BinaryTask, Training, load_declaration

SAMPLES = 300


def main() -> None:
    options = _options()
    training = load_declaration("diagnosis").spec.training
    rows = landmarks()
    found = _compare(rows, training, "the declared split")
    others = [_compare(rows, _dealt(training, seed), f"split seed {seed}") for seed in range(1, options.deals)]
    if options.json:
        print(json.dumps({**found, "other_deals": others}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--deals", type=int, default=4, help="splits in all, the declared one among them")
    return parser.parse_args()


def _dealt(training: Training, seed: int) -> Training:
    return training.model_copy(update={"split": training.split.model_copy(update={"seed": seed})})


def _compare(rows: pd.DataFrame, training: Training, title: str) -> dict[str, object]:
    """Print one table; return the champion's figures in it, and everybody's."""
    as_of = rows["event_time"].max().normalize() + pd.Timedelta(days=3650)
    labelled = rows[rows["label"].notna()].reset_index(drop=True)
    parts = {
        name: cut_parts(frame, training.split, "event_time", as_of)
        for name, frame in (("labelled", labelled), ("everybody", rows))
    }
    test = labelled[parts["labelled"].test]
    risks = declared(labelled, test, training, as_of) | baselines(rows, labelled, parts, test)
    judged = _Judge(test, _threshold(training))
    draws = {name: judged.draws(risk) for name, risk in risks.items()}
    champion = max((c.name for c in training.candidates), key=lambda name: draws[name]["auc"][0])
    _print(title, test, draws, champion)
    figures = {name: {what: _plain(estimate(v, 0.95)) for what, v in of.items()} for name, of in draws.items()}
    best = {what: float(draws[champion][what][0]) for what in ("auc", "brier", "calibration_slope")}
    return {**best, "champion": champion, "rows": len(test), "people": test["person_id"].nunique(), "models": figures}


def _threshold(training: Training) -> float:
    assert isinstance(training.task, BinaryTask)
    return cost_threshold(training.task.costs)


class _Judge:
    """Figures on the test rows, on all of them and on each draw of their people."""

    def __init__(self, test: pd.DataFrame, threshold: float) -> None:
        self.labels: Labels = test["label"].to_numpy(dtype=np.int64)
        self.weights: Floats = test["label_weight"].to_numpy(dtype=np.float64)
        people = pd.factorize(test["person_id"])[0]
        self.counted = [self.weights, *(w * self.weights for w in resamples(self.labels == 1, SAMPLES, 0, people))]
        self.threshold = threshold

    def draws(self, risk: Floats) -> dict[str, Floats]:
        """By figure, its value on all rows and on each draw, float64[SAMPLES + 1]."""
        ranking, clipped = rank(self.labels, risk), np.clip(risk, 1e-6, 1 - 1e-6)
        log_odds = np.log(clipped / (1 - clipped))
        figures: Mapping[str, Callable[[Floats], float]] = {
            "auc": lambda w: ranking_metric("auc", ranking, w),
            "brier": lambda w: brier(self.labels, risk, w),
            "calibration_slope": lambda w: Sigmoid.fit(log_odds[w > 0], self.labels[w > 0], w[w > 0]).slope,
            "predicted": lambda w: float(np.average(risk, weights=w)),
            "observed": lambda w: float(np.average(self.labels, weights=w)),
            "net_benefit": lambda w: net_benefit(self.labels, risk, self.threshold, w),
        }
        return {name: np.asarray([figure(w) for w in self.counted]) for name, figure in figures.items()}


def _print(title: str, test: pd.DataFrame, draws: Mapping[str, Mapping[str, Floats]], champion: str) -> None:
    observed = estimate(next(iter(draws.values()))["observed"], 0.95)
    print(f"\n{title}: {len(test):,} landmarks of {test['person_id'].nunique():,} people, observed risk {observed}")
    print(
        f"{'':<34}{'AUC':>22}{'Brier':>24}{'slope':>22}{'predicted':>11}{'net benefit':>13}{'champion - this, AUC':>26}"
    )
    for name, of in draws.items():
        ahead = "" if name == champion else str(difference(draws[champion]["auc"], of["auc"], 0.95))
        brier_ = estimate(of["brier"], 0.95)
        print(
            f"{name + (' (champion)' if name == champion else ''):<34}{estimate(of['auc'], 0.95)!s:>22}"
            f"{f'{brier_.value:.4f} [{brier_.low:.4f}, {brier_.high:.4f}]':>24}"
            f"{estimate(of['calibration_slope'], 0.95)!s:>22}{of['predicted'][0]:>11.3f}"
            f"{of['net_benefit'][0]:>13.4f}{ahead:>26}"
        )


def _plain(found: Estimate) -> list[float]:
    return [round(found.value, 5), round(found.low, 5), round(found.high, 5)]


if __name__ == "__main__":
    main()
