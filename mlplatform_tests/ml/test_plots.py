from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mlplatform.ml import class_plots, data_plots, monitoring_plots, plots
from mlplatform.ml.backtest import Backtest, PolicyRun, ReplayedWindow
from mlplatform.ml.backtest_plots import plot_backtest
from mlplatform.ml.compare import compare
from mlplatform.ml.decision import Champion, WindowEvidence, decide
from mlplatform.ml.drift import find_drift
from mlplatform.ml.performance import PerformanceWindow
from mlplatform.ml.train import TrainedCandidate
from mlplatform.spec.drift import Drift
from mlplatform.spec.policy import (
    AnyPolicy,
    CombinedPolicy,
    DriftPolicy,
    NeverPolicy,
    PerformancePolicy,
    SchedulePolicy,
)
from mlplatform_tests.ml.data import FEATURES, training

RANDOM = np.random.default_rng(0)
PROBABILITIES = RANDOM.beta(0.3, 20, 5000)
LABELS = (RANDOM.random(5000) < PROBABILITIES).astype(int)


def assert_small_picture(png: bytes) -> None:
    """Below the 60 kB that a Markdown metadata value takes well, and of the common width."""
    picture = Image.open(BytesIO(png))
    assert (picture.format, picture.width) == ("PNG", 650)
    assert len(png) < 60_000
    assert len(picture.convert("RGB").getcolors() or []) > 3


def test_precision_and_recall() -> None:
    assert_small_picture(class_plots.plot_precision_recall(LABELS, PROBABILITIES, 0.05))


def test_precision_and_recall_when_the_threshold_picks_nothing() -> None:
    assert_small_picture(class_plots.plot_precision_recall(LABELS, PROBABILITIES, 1.0))


@pytest.mark.parametrize("probabilities", [PROBABILITIES, np.zeros(5000), np.full(5000, 0.01)])
def test_calibration(probabilities: np.ndarray) -> None:
    assert_small_picture(class_plots.plot_calibration(LABELS, probabilities))


def test_importance_of_many_features() -> None:
    assert_small_picture(plots.plot_importance({f"customer_amount_mean_{i}_days": 1 / (i + 1) for i in range(40)}))


def test_contributions(trained: TrainedCandidate, rows: pd.DataFrame) -> None:
    x = trained.model.matrix(rows)
    assert_small_picture(plots.plot_contributions(trained.model.explain(x), x, FEATURES))


def test_drift_by_column() -> None:
    names = [f"c{i}" for i in range(20)]
    old, new = (pd.DataFrame(RANDOM.normal(size=(800, 20)) + shift, columns=names) for shift in (0, 0.3))
    assert_small_picture(monitoring_plots.plot_drift_by_column(find_drift(old, new, Drift(), columns=names), 0.1))


@pytest.mark.parametrize("weeks", [0, 1, 30])
def test_drift_over_time(weeks: int) -> None:
    ends = [pd.Timestamp("2024-01-07") + pd.Timedelta(weeks=week) for week in range(weeks)]
    windows = [WindowEvidence(end - pd.Timedelta(weeks=1), end, i % 4 > 0, i / 30) for i, end in enumerate(ends)]
    assert_small_picture(monitoring_plots.plot_drift_over_time(windows, 0.1))


def test_comparison(trained_trees: TrainedCandidate, trained_linear: TrainedCandidate, rows: pd.DataFrame) -> None:
    test = rows[rows["event_time"] >= pd.Timestamp(trained_trees.boundaries["test_start"])]
    challengers = {"trees": trained_trees.model, "linear": trained_linear.model}
    settings = training(bootstrap_samples=20)
    found = compare(
        challengers,
        ("v3", trained_linear.model),
        test,
        settings,
        event_time="event_time",
    )
    assert_small_picture(plots.plot_comparison(found))


def test_the_parts_of_a_training_set() -> None:
    times = pd.Series(pd.date_range("2024-01-01", periods=5000, freq="15min"))
    parts = pd.Series(np.repeat(["train", "gap", "tune", "gap", "test"], 1000))
    assert_small_picture(data_plots.plot_parts(times, parts, pd.Series(LABELS)))


POLICIES: list[AnyPolicy] = [
    NeverPolicy(kind="never"),
    SchedulePolicy(kind="schedule", every_days=7),
    DriftPolicy(kind="drift"),
    PerformancePolicy(kind="performance"),
    CombinedPolicy(max_age_days=60),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@pytest.mark.parametrize("weeks", [0, 3])
def test_what_a_decision_was_weighed_on(policy: AnyPolicy, weeks: int) -> None:
    end = pd.Timestamp("2024-03-01")
    edges = [(end - pd.Timedelta(weeks=i + 1), end - pd.Timedelta(weeks=i)) for i in range(weeks)]
    drift = [WindowEvidence(*edge, True, 0.3) for edge in edges]
    served = [PerformanceWindow(*edge, "3", "auc", 0.7, 0.65, 0.75, 0.81, 900, 850, "mature") for edge in edges]
    decision = decide(
        "u",
        drift,
        policy,
        as_of=end,
        champion=Champion("3", end - pd.Timedelta(days=10), 60),
        new_labelled_rows=400,
        performance=served,
    )
    assert_small_picture(monitoring_plots.plot_decision(decision))


@pytest.mark.parametrize("count", [2, 40])
def test_the_course_of_policies(count: int) -> None:
    ends = [pd.Timestamp("2024-01-07") + pd.Timedelta(weeks=week) for week in range(count)]

    def course(policy: str, delayed: bool, every: int) -> PolicyRun:
        windows = [
            ReplayedWindow(
                end - pd.Timedelta(weeks=1),
                end,
                100,
                float(np.sin((i + every) / 6)),
                end,
                "",
                "",
                trained=i % every == 1,
                promoted=i % 2 > 0,
            )
            for i, end in enumerate(ends)
        ]
        return PolicyRun(policy, delayed, 1.0, tuple(windows))

    policies = {"never": 1000, "weekly": 2, "drift": 5, "performance": 7, "combined": 4, "declared": 9}
    runs = [course(name, delayed, every) for delayed in (True, False) for name, every in policies.items()]
    assert_small_picture(plot_backtest(Backtest("fraud", "average_precision", tuple(runs))))
