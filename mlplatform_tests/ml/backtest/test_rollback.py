"""The pattern turns round for six weeks. A model that learned these weeks alone is promoted on their last day,
honestly: by the gates, on rows that it has not seen. Then the pattern is again what it was."""

from pathlib import Path

import pandas as pd
import pytest

from mlplatform.ml.backtest import Backtest, PolicyRun, backtest
from mlplatform.ml.backtest_plots import plot_backtest
from mlplatform.spec.policy import AnyPolicy, NeverPolicy, SchedulePolicy
from mlplatform_tests.ml.backtest.conftest import START, small_history, small_use_case

TURNED, BACK, DAYS = 42, 84, 119
NEVER = NeverPolicy(kind="never")
# The first training is of day 42: the next one falls on the day on which the pattern turns back.
SIX_WEEKLY = SchedulePolicy(kind="schedule", every_days=42, min_new_labelled_rows=0)
RULE = {"min_labelled": 200}


def replayed(folder: Path, policy: AnyPolicy = SIX_WEEKLY, **rollback: object) -> Backtest:
    spec = small_use_case(rollback=RULE | rollback)
    history = small_history(DAYS, TURNED, back=BACK)
    return backtest(history, spec, {"never": NEVER, "tried": policy}, folder=folder, jobs=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Backtest:
    return replayed(tmp_path_factory.mktemp("rollback"))


def day(number: int) -> pd.Timestamp:
    return START + pd.Timedelta(days=number)


def tried(found: Backtest, delayed: bool = True) -> PolicyRun:
    return found.of(delayed)["tried"]


def test_a_promoted_model_that_does_worse_than_the_one_before_is_taken_back(found: Backtest) -> None:
    run = tried(found)
    [promoted] = [w for w in run.windows if w.promoted]
    [back] = [w for w in run.windows if w.taken_back]
    assert (promoted.end, back.model) == (day(BACK), day(BACK))
    assert back.value < 0.4
    assert "worse: auc differs by -0." in back.taken_back
    after = [w for w in run.windows if w.start >= back.end]
    assert after
    assert all(w.model == day(TURNED) and w.value > 0.75 for w in after)
    assert (run.promotions, run.rollbacks) == (1, 1)


def test_the_model_that_is_back_is_expected_to_do_what_it_was_expected_to_do_before(found: Backtest) -> None:
    windows = tried(found).windows
    assert windows[-1].promised == windows[0].promised
    assert windows[-1].promised != next(w for w in windows if w.taken_back).promised


def test_after_a_rollback_training_rests_as_long_as_declared(found: Backtest) -> None:
    run = tried(found)
    [back] = [w for w in run.windows if w.taken_back]
    rested = [w for w in run.windows if w.verdict == "blocked"]
    assert [w.end for w in rested] == [back.end, back.end + pd.Timedelta(days=7)], "pause_days is 14"
    assert all("the model of 2024-03-25 was taken back" in w.reason for w in rested)


def test_where_rollback_is_not_automatic_the_bad_model_stays(tmp_path: Path) -> None:
    run = tried(replayed(tmp_path, automatic=False))
    assert run.rollbacks == 0
    assert max(w.value for w in run.windows if w.start >= day(BACK)) < 0.4


def test_with_labels_known_at_once_it_is_taken_back_no_later(found: Backtest) -> None:
    def end(delayed: bool) -> pd.Timestamp:
        return next(w.end for w in tried(found, delayed).windows if w.taken_back)

    assert end(delayed=False) <= end(delayed=True)


def test_a_model_that_is_no_longer_fresh_is_not_taken_back(tmp_path: Path) -> None:
    assert tried(replayed(tmp_path, fresh_days=5)).rollbacks == 0


def test_rollbacks_stand_in_the_table_the_lake_and_the_picture(found: Backtest) -> None:
    [row] = [row for row in found.summary() if row["policy"] == "tried" and row["labels"] == "as they come"]
    assert row["rollbacks"] == 1
    kept = found.frame()
    assert (kept["taken_back"] != "").sum() == sum(run.rollbacks for run in found.runs)
    assert plot_backtest(found).startswith(b"\x89PNG")
