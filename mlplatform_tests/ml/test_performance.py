"""Served predictions judged: what is mature, what is only promised, and a successor beside its predecessor."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.ml.performance import PerformanceWindow, Served, judge_window, window_starts
from mlplatform.ml.tasks import task_for
from mlplatform.spec.performance import Performance
from mlplatform_tests.ml.data import training

MONDAY = pd.Timestamp("2018-06-04")
DELAY = training().split.delay_days
RULE = Performance(window_days=7, min_labelled=100, min_coverage=0.8)


def served(rows: int = 1000, labelled: float = 1.0, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Calibrated scores: labels are drawn with just these probabilities."""
    random = np.random.default_rng(seed)
    scores = random.beta(0.5, 3, rows)
    labels = (random.random(rows) < scores).astype(float)
    labels[random.random(rows) >= labelled] = np.nan
    frame = pd.DataFrame({"event_time": MONDAY + pd.to_timedelta(random.random(rows) * 7, "D"), "label": labels})
    return frame, scores


def judged(as_of: pd.Timestamp, rows: int = 1000, labelled: float = 1.0) -> PerformanceWindow:
    frame, scores = served(rows, labelled)
    return judge_window(
        Served("1", frame, scores), training(), RULE, start=MONDAY, as_of=as_of, event_time="event_time", expected=0.5
    )


RIPE = MONDAY + pd.Timedelta(days=7 + DELAY)


def test_a_window_is_mature_when_its_labels_had_time_to_come_and_came() -> None:
    window = judged(RIPE)
    assert window.state == "mature"
    assert window.coverage == 1
    assert window.low < window.value < window.high


@pytest.mark.parametrize(
    ("as_of", "rows", "labelled"),
    [
        pytest.param(RIPE - pd.Timedelta(seconds=1), 1000, 1.0, id="the last label may still come"),
        pytest.param(RIPE, 1000, 0.5, id="half of the labels have not come"),
        pytest.param(RIPE, 90, 1.0, id="too few labels"),
    ],
)
def test_a_window_that_lacks_any_of_it_is_provisional(as_of: pd.Timestamp, rows: int, labelled: float) -> None:
    assert judged(as_of, rows, labelled).state == "provisional"


def test_without_a_label_there_is_no_figure_and_still_an_estimate() -> None:
    window = judged(RIPE, labelled=0.0)
    assert window.state == "provisional"
    assert math.isnan(window.value)
    assert 0 < window.estimate < 1


def test_a_window_of_one_class_has_no_figure_and_is_not_mature() -> None:
    frame, scores = served()
    frame["label"] = 0.0
    window = judge_window(
        Served("1", frame, scores), training(), RULE, start=MONDAY, as_of=RIPE, event_time="event_time"
    )
    assert math.isnan(window.value)
    assert window.state == "provisional"


@pytest.mark.parametrize("metric", ["average_precision", "auc", "brier", "cost_per_row"])
def test_calibrated_scores_promise_what_comes_true(metric: str) -> None:
    frame, scores = served(rows=40_000)
    task = task_for(training().task)
    from mlplatform.ml.train import labelled_examples

    examples = labelled_examples(frame, np.empty((len(frame), 0)), training(), "event_time")
    assert task.promised(metric, scores) == pytest.approx(task.figure(metric, examples, scores)(None), rel=0.05)


@given(
    st.lists(st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2040-01-01")), min_size=1, max_size=20),
    st.integers(1, 60),
)
def test_every_time_lies_in_exactly_one_window_of_a_fixed_grid(times: list[pd.Timestamp], days: int) -> None:
    moments = pd.Series(pd.to_datetime(times))
    starts = window_starts(moments, days)
    length = pd.Timedelta(days=days)
    assert ((starts <= moments) & (moments < starts + length)).all()
    assert ((starts - starts.iloc[0]) % length == pd.Timedelta(0)).all()


def test_weeks_begin_on_mondays() -> None:
    assert set(window_starts(pd.Series([MONDAY, MONDAY + pd.Timedelta(days=6.9)]), 7)) == {MONDAY}
