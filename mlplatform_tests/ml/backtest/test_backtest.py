from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlplatform.errors import SpecError, TrainingError
from mlplatform.ml.backtest import Backtest, backtest, standard_policies
from mlplatform.ml.backtest import steps as backtest_steps
from mlplatform.ml.backtest.steps import Train
from mlplatform.spec import UseCase
from mlplatform.spec.policy import NeverPolicy, SchedulePolicy
from mlplatform_tests.ml.backtest.conftest import START, TURN, small_history, small_use_case

NEVER = NeverPolicy(kind="never")
WEEKLY = SchedulePolicy(kind="schedule", every_days=7, min_new_labelled_rows=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backtest")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(history: pd.DataFrame, spec: UseCase, folder: Path, lines: list[str]) -> Backtest:
    policies = standard_policies(spec.policy)
    return backtest(history, spec, policies, folder=folder, jobs=1, progress=lines.append)


def test_every_policy_goes_through_the_same_windows(found: Backtest) -> None:
    courses = {tuple((w.start, w.end) for w in run.windows) for run in found.runs}
    assert len(courses) == 1
    assert set(found.of(delayed=True)) == {"never", "weekly", "drift", "performance", "combined"}
    assert set(found.of(delayed=False)) == set(found.of(delayed=True))


def test_never_trains_once_and_loses_what_turned_round(found: Backtest) -> None:
    never = found.of(delayed=True)["never"]
    assert never.trainings == 1
    turn = START + pd.Timedelta(days=TURN)
    assert min(w.value for w in never.windows if w.end <= turn) > 0.75
    assert max(w.value for w in never.windows if w.start >= turn) < 0.4


def test_who_looks_at_performance_recovers_with_fewer_trainings_than_a_calendar(found: Backtest) -> None:
    runs = found.of(delayed=True)
    for name in ("weekly", "performance", "combined"):
        assert runs[name].windows[-1].value > 0.75, name
        assert runs[name].metric > runs["never"].metric + 0.05, name
    assert runs["weekly"].trainings == len(runs["weekly"].windows)
    assert runs["performance"].trainings < runs["weekly"].trainings


def test_drift_of_a_feature_that_tells_little_trains_nothing_though_the_pattern_turned(found: Backtest) -> None:
    drift = found.of(delayed=True)["drift"]
    assert drift.trainings == 1
    assert any("of the importance drifted" in window.reason for window in drift.windows)


def test_before_the_turn_nothing_but_the_calendar_trains(found: Backtest) -> None:
    turn = START + pd.Timedelta(days=TURN)
    for name in ("drift", "performance", "combined"):
        assert not any(w.trained for w in found.of(delayed=True)[name].windows if w.end <= turn), name


def test_labels_that_are_known_at_once_are_acted_on_earlier(found: Backtest) -> None:
    def first_training(delayed: bool) -> pd.Timestamp:
        return next(w.end for w in found.of(delayed)["performance"].windows if w.trained)

    assert first_training(delayed=False) < first_training(delayed=True)
    assert found.of(delayed=False)["weekly"].metric > found.of(delayed=True)["weekly"].metric


def test_estimates_made_before_labels_are_held_against_what_came_true(found: Backtest) -> None:
    """The pattern turns and the features do not: calibrated scores cannot see it, and the check says so."""
    told = found.estimates
    assert told is not None
    turn = START + pd.Timedelta(days=TURN)
    never = found.of(delayed=True)["never"].windows
    before = [abs(w.estimate - w.value) for w in never if w.end <= turn]
    after = [w.estimate - w.value for w in never if w.start >= turn]
    assert max(before) < 0.1
    assert min(after) > 0.3
    assert told.bias > 0
    assert f"{told.error:.3f} on average" in str(told)
    assert told.within < 1, "after the turn the estimate lies far above every interval"
    kept = found.frame()
    assert {"estimate", "promised", "low", "high"} <= set(kept.columns)


def test_a_decision_says_the_numbers_that_it_was_made_on(found: Backtest) -> None:
    trained = next(w for w in found.of(delayed=True)["performance"].windows if w.trained)
    assert trained.verdict == "retrain"
    assert trained.reason.startswith("auc 0.")
    assert "expected 0." in trained.reason


def test_no_model_answers_a_window_that_began_before_it_was_trained(found: Backtest) -> None:
    assert all(w.model <= w.start for run in found.runs for w in run.windows)


def test_the_terminal_gets_a_line_for_every_window(found: Backtest, lines: list[str]) -> None:
    assert len(lines) == sum(len(run.windows) for run in found.runs)
    assert any("performance, labels as they come" in line and "retrained" in line for line in lines)


def test_a_second_run_recalls_what_was_worked_out(
    found: Backtest, history: pd.DataFrame, spec: UseCase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtest_steps, "train_candidate", _refuses)
    monkeypatch.setattr(backtest_steps, "compare", _refuses)
    again = backtest(history, spec, standard_policies(spec.policy), folder=folder, jobs=1)
    assert again == found


def test_a_run_that_was_killed_goes_on_with_what_is_missing_only(
    found: Backtest, history: pd.DataFrame, spec: UseCase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it: the model's files are there, the result that is written last is not."""
    [lost] = list(folder.glob("*/delayed/train-*.json"))[-1:]
    lost.unlink()
    trained: list[str] = []
    real = Train.run
    monkeypatch.setattr(Train, "run", lambda self, setting: trained.append(self.name) or real(self, setting))
    again = backtest(history, spec, standard_policies(spec.policy), folder=folder, jobs=1)
    assert trained == [f"delayed/{lost.stem}"]
    assert {name: run.metric for name, run in again.of(True).items()} == pytest.approx(
        {name: run.metric for name, run in found.of(True).items()}
    )


@pytest.mark.slow
def test_in_processes_beside_each_other_the_same_comes_out(
    found: Backtest, history: pd.DataFrame, spec: UseCase, tmp_path: Path
) -> None:
    again = backtest(history, spec, standard_policies(spec.policy), folder=tmp_path, jobs=2)
    for run, other in zip(found.runs, again.runs, strict=True):
        assert [(w.value, w.model, w.verdict, w.promoted) for w in run.windows] == [
            (w.value, w.model, w.verdict, w.promoted) for w in other.windows
        ]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.assign(label=rows["label"].where(rows["event_time"] < START + pd.Timedelta(days=84), 0)),
        lambda rows: rows.assign(x=rows["x"].where(rows["event_time"] < START + pd.Timedelta(days=84), 0.0)),
    ],
    ids=["labels of the last week", "features of the last week"],
)
def test_what_happens_later_changes_no_earlier_window(
    found: Backtest,
    history: pd.DataFrame,
    spec: UseCase,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    policies = {"never": NEVER, "performance": standard_policies(spec.policy)["performance"]}
    again = backtest(change(history), spec, policies, folder=tmp_path, jobs=1)
    for delayed in (True, False):
        before = found.of(delayed)["performance"].windows[:-1]
        after = again.of(delayed)["performance"].windows[:-1]
        assert [(w.value, w.verdict, w.reason) for w in before] == [(w.value, w.verdict, w.reason) for w in after]


def test_the_last_windows_only(history: pd.DataFrame, spec: UseCase, tmp_path: Path) -> None:
    found = backtest(history, spec, {"never": NEVER, "weekly": WEEKLY}, folder=tmp_path, windows=3, jobs=1)
    assert [w.end for w in found.runs[0].windows] == [START + pd.Timedelta(days=days) for days in (77, 84, 91)]


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (lambda: small_history(days=42), {}, "holds 0 windows of 7 days behind the 37 days .*; a backtest needs 2"),
        (lambda: small_history()[::-1], {}, "must be in order of event_time"),
        (lambda: small_history().drop(columns="x"), {}, "the history lacks x"),
        (lambda: small_history().iloc[:0], {}, "the history is empty"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    rows: Callable[[], pd.DataFrame], changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=said):
        backtest(rows(), small_use_case(**changes), {"never": NEVER}, folder=tmp_path, jobs=1)


def test_a_split_by_group_has_no_earlier_trainings_to_replay(history: pd.DataFrame, tmp_path: Path) -> None:
    spec = small_use_case()
    content = spec.model_dump()
    content["training"]["split"] = {"kind": "group", "key": "id"}
    with pytest.raises(TrainingError, match="a backtest needs a split by time"):
        backtest(history, UseCase.model_validate(content), {"never": NEVER}, folder=tmp_path, jobs=1)


def test_a_policy_that_nobody_knows_is_refused_with_those_that_are(spec: UseCase) -> None:
    with pytest.raises(SpecError, match="no policy hourly; allowed: never, weekly, monthly, drift, performance"):
        standard_policies(spec.policy, ["hourly"])


def test_the_declared_policy_stands_beside_the_standard_ones_where_it_is_another() -> None:
    declared = small_use_case(policy={"kind": "drift", "min_drift_importance": 0.4}).policy
    found = standard_policies(declared)
    assert found["declared"] == declared
    assert list(found) == ["never", "weekly", "drift", "performance", "combined", "declared"]
    assert list(standard_policies(declared, ["monthly"])) == ["never", "monthly"]


def _refuses(*_: object, **__: object) -> None:
    raise AssertionError("this was worked out before")
