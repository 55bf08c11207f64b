"""A successor beside its predecessor: what takes it back, and that looking often does not take it back more easily."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.succession import Look, Succession, compare_successor
from mlplatform.spec.rollback import Rollback
from mlplatform_tests.ml.data import training
from mlplatform_tests.ml.test_performance import RIPE, RULE, served

SUCCESSION = Rollback(min_labelled=500, estimate_guard=0.3)
ONLY_LOOK = Look(before=0, now=1)


def judged(frame: pd.DataFrame, champion: np.ndarray, predecessor: np.ndarray, look: Look = ONLY_LOOK) -> Succession:
    rules = (training(), RULE, SUCCESSION)
    return compare_successor(
        frame, champion, predecessor, *rules, event_time="event_time", as_of=RIPE, look=look, expected=0.5
    )


def succession(labelled: float, seed: int = 0, worse: float = 1.0, look: Look = ONLY_LOOK) -> str:
    """A champion whose scores are mixed with chance, by `worse`, beside a predecessor whose scores are right."""
    frame, good = served(rows=3000, labelled=labelled, seed=seed)
    bad = (1 - worse) * good + worse * np.random.default_rng(9).permutation(good)
    return judged(frame, bad, good, look).verdict


@pytest.mark.parametrize("look", [ONLY_LOOK, Look(before=0.5, now=0.5 + 1 / 28)])
def test_a_champion_that_is_clearly_worse_on_labels_is_taken_back(look: Look) -> None:
    assert succession(labelled=1.0, look=look) == "roll_back"


def test_a_champion_that_is_as_good_is_kept() -> None:
    assert succession(labelled=1.0, worse=0.0) == "keep"


def test_with_too_few_labels_one_waits() -> None:
    assert succession(labelled=0.1) == "wait"


def test_a_champion_whose_scores_broke_down_is_taken_back_before_a_label_is_there() -> None:
    frame, good = served(labelled=0.0)
    flat = np.full(len(good), good.mean())
    found = judged(frame, flat, good)
    assert found.verdict == "roll_back"
    assert "estimated average_precision" in found.reason
    assert found.level == SUCCESSION.false_alarms, "the test spends what a test on labels would have"
    both = judged(frame, flat, flat)
    assert both.verdict == "wait", "the examples are to blame: the predecessor promises no more"
    assert np.isnan(both.level), "nothing was tested, so nothing was spent"


def test_what_scores_promise_is_tested_at_the_level_of_the_look() -> None:
    frame, good = served(labelled=0.0)
    flat = np.full(len(good), good.mean())
    spent = judged(frame, flat, good, Look(before=0.5, now=0.5))
    assert (spent.verdict, spent.level) == ("wait", 0), "this moment's part of the false alarms is used up"


@pytest.mark.parametrize("rows", [2, 30, 499])
def test_what_few_scores_promise_takes_nothing_back(rows: int) -> None:
    frame, good = served(rows=rows, labelled=0.0)
    assert judged(frame, np.full(rows, 0.01), good).verdict == "wait"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_scores_that_promise_as_much_but_for_chance_take_nothing_back(seed: int) -> None:
    frame, good = served(rows=600, labelled=0.0, seed=seed)
    resampled = np.random.default_rng(seed).choice(good, size=len(good))
    assert judged(frame, resampled, good).verdict == "wait"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_model_is_never_worse_than_itself(seed: int) -> None:
    assert succession(labelled=1.0, seed=seed, worse=0.0) == "keep"


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.001, 0.4))
def test_however_often_one_looks_no_more_than_the_allowed_false_alarms_is_spent(
    moments: list[float], allowed: float
) -> None:
    looks = [Look(before, now) for before, now in zip([0.0, *sorted(moments)], sorted(moments), strict=False)]
    levels = [look.level(allowed) for look in looks]
    assert min(levels) >= 0
    assert sum(levels) == pytest.approx(allowed * min(max(moments), 1))


def test_a_difference_that_one_late_look_would_act_on_is_no_proof_for_one_of_many() -> None:
    worse = 0.12
    late, daily = (succession(1.0, worse=worse, look=look) for look in (ONLY_LOOK, Look(0.5, 0.5 + 1 / 28)))
    assert (late, daily) == ("roll_back", "keep")
