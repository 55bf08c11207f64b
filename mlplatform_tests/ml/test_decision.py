import json
import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.decision import Champion, Decision, WindowEvidence, decide
from mlplatform.ml.performance import PerformanceWindow
from mlplatform.spec.policy import (
    AnyPolicy,
    CombinedPolicy,
    DriftPolicy,
    NeverPolicy,
    PerformancePolicy,
    SchedulePolicy,
)

AS_OF = pd.Timestamp("2024-06-01")
POLICY = DriftPolicy(
    kind="drift",
    min_drift_importance=0.2,
    windows=3,
    windows_required=2,
    min_new_labelled_rows=1000,
    cool_down_days=14,
    budget_seconds=600,
)


def window(weeks_ago: int, share: float, enough: bool = True) -> WindowEvidence:
    end = AS_OF - pd.Timedelta(weeks=weeks_ago)
    return WindowEvidence(end - pd.Timedelta(weeks=1), end, enough, share, ("amount",) if share else ())


def champion(days_ago: float = 60, seconds: float = 100, version: str = "v3") -> Champion:
    return Champion(version, AS_OF - pd.Timedelta(days=days_ago), seconds)


DRIFTING = (window(2, 0.0), window(1, 0.5), window(0, 0.4))


CHAMPION = champion()


def decided(
    windows: tuple[WindowEvidence, ...] = DRIFTING,
    policy: AnyPolicy = POLICY,
    current: Champion | None = CHAMPION,
    new_rows: int = 5000,
    **more: object,
) -> Decision:
    return decide("fraud", windows, policy, as_of=AS_OF, champion=current, new_labelled_rows=new_rows, **more)  # type: ignore[arg-type]


def test_heavy_lasting_drift_with_news_retrains_and_says_the_numbers() -> None:
    found = decided()
    assert found.verdict == "retrain"
    assert found.reason == (
        "40% of the importance drifted in the window that ended 2024-06-01, "
        "2 of 3 windows in drift, 5,000 new labelled rows"
    )
    assert [w["speaks"] for w in found.evidence["windows"]] == [False, True, True]


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"policy": NeverPolicy(kind="never")}, "wait", "never to retrain"),
        ({"current": None}, "wait", "no champion yet"),
        ({"windows": ()}, "wait", "no window has been measured"),
        ({"windows": (window(1, 0.9), window(0, 0.1))}, "wait", "10% of the importance .* min_drift_importance 20%"),
        ({"windows": (window(1, 0.9), window(0, 0.9, enough=False))}, "wait", "too few rows"),
        ({"windows": (window(1, 0.1), window(0, 0.9))}, "wait", "only 1 of 2 windows in drift, 2 are required"),
        ({"windows": (window(3, 0.9), window(2, 0), window(1, 0), window(0, 0.9))}, "wait", "only 1 of 3"),
        ({"new_rows": 999}, "wait", "only 999 new labelled rows, 1,000 are required"),
        ({"current": champion(days_ago=13)}, "wait", "cooling down until 2024-06-02 00:00"),
        ({"current": champion(seconds=601)}, "blocked", "took 601 s and budget_seconds is 600"),
    ],
)
def test_what_stands_against_retraining_is_said(changes: dict[str, object], verdict: str, words: str) -> None:
    found = decided(**changes)  # type: ignore[arg-type]
    assert found.verdict == verdict
    assert pd.Series([found.reason]).str.contains(words).all(), found.reason


def test_one_piece_of_evidence_trains_once() -> None:
    first = decided()
    assert decided(acted_on={first.decision_id}).verdict == "wait"
    assert "already led to a training" in decided(acted_on={first.decision_id}).reason


def test_the_id_is_stable_for_use_case_window_and_champion() -> None:
    base = decided().decision_id
    assert decided(new_rows=10).decision_id == base
    assert decided(windows=tuple(reversed(DRIFTING))).decision_id == base
    assert decided(current=champion(version="v4")).decision_id != base
    assert decided(windows=DRIFTING[:2]).decision_id != base


def test_windows_of_the_future_are_not_seen() -> None:
    assert decided(windows=(*DRIFTING, window(-1, 0.0))).verdict == "retrain"


def served(weeks_ago: int, value: float, spread: float = 0.02, **changes: object) -> PerformanceWindow:
    """A mature window of a model that reached 0.80 when it was promoted."""
    end = AS_OF - pd.Timedelta(weeks=weeks_ago)
    measured = PerformanceWindow(
        end - pd.Timedelta(weeks=1),
        end,
        "v3",
        "average_precision",
        value,
        value - spread,
        value + spread,
        expected=0.8,
        predictions=5000,
        labelled=4900,
        state="mature",
    )
    return replace(measured, **changes)  # type: ignore[arg-type]


COMMON = {"min_new_labelled_rows": 1000, "cool_down_days": 14, "budget_seconds": 600}
WATCHED = PerformancePolicy.model_validate({"kind": "performance", "max_drop": 0.1, "windows_required": 2, **COMMON})
DROPPED = (served(3, 0.79), served(2, 0.65), served(1, 0.6))


def test_a_drop_beyond_chance_in_enough_windows_retrains_and_says_the_numbers() -> None:
    found = decided((), WATCHED, performance=DROPPED)
    assert found.verdict == "retrain"
    assert found.reason == (
        "average_precision 0.600 [0.580, 0.620] in the window that ended 2024-05-25, expected 0.800 and at least "
        "0.720, 2 of 3 windows below, 5,000 new labelled rows"
    )
    assert found.window == (pd.Timestamp("2024-05-18"), pd.Timestamp("2024-05-25"))
    assert [each["below"] for each in found.evidence["performance"]] == [False, True, True]


@pytest.mark.parametrize(
    ("performance", "words"),
    [
        ((), "no mature window of served predictions"),
        ((served(2, 0.6), served(1, 0.73)), "no drop below 0.720"),
        ((served(2, 0.6), served(1, 0.7, spread=0.03)), "below 0.720, but not beyond chance"),
        ((served(2, 0.79), served(1, 0.6)), "only 1 of 2 windows below, 2 are required"),
        (tuple(replace(window, state="provisional") for window in DROPPED), "no mature window"),
        (tuple(replace(window, model_version="v2") for window in DROPPED), "no mature window"),
        (tuple(replace(window, expected=math.nan) for window in DROPPED), "no mature window"),
        (tuple(replace(window, high=math.nan) for window in DROPPED), "no mature window"),
    ],
)
def test_noise_old_models_and_labels_that_are_still_coming_retrain_nothing(
    performance: tuple[PerformanceWindow, ...], words: str
) -> None:
    found = decided((), WATCHED, performance=performance)
    assert found.verdict == "wait"
    assert words in found.reason


EITHER = CombinedPolicy.model_validate(
    {"drift": {"min_drift_importance": 0.2}, "performance": {"max_drop": 0.1}, "max_age_days": 90, **COMMON}
)


@pytest.mark.parametrize(
    ("windows", "performance", "days_ago", "verdict", "words"),
    [
        (DRIFTING, (), 60, "retrain", "40% of the importance drifted"),
        ((), DROPPED, 60, "retrain", "average_precision 0.600"),
        ((), (), 90, "retrain", "the last training was 90.0 days ago, due after 90"),
        (DRIFTING, DROPPED, 60, "retrain", "average_precision 0.600.*; 40% of the importance"),
        ((window(0, 0.1),), (served(1, 0.79),), 60, "wait", "no drop .*; 10% of the importance.*; .* due after 90"),
    ],
)
def test_combined_evidence_retrains_by_whichever_speaks(
    windows: tuple[WindowEvidence, ...],
    performance: tuple[PerformanceWindow, ...],
    days_ago: float,
    verdict: str,
    words: str,
) -> None:
    found = decided(windows, EITHER, champion(days_ago), performance=performance)
    assert found.verdict == verdict
    assert pd.Series([found.reason]).str.contains(words).all(), found.reason


HEAVY = (window(2, 0.9), window(1, 0.9), window(0, 0.9))


@pytest.mark.parametrize(
    ("performance", "verdict", "words"),
    [
        ((served(1, 0.79),), "wait", "90% .*, 3 of 3 windows in drift, but labels until 2024-05-25 show no drop"),
        ((served(2, 0.79),), "retrain", "2 of 3 windows in drift"),
        ((served(1, 0.71),), "wait", "below 0.720, but not beyond chance; 90% .* but labels until 2024-05-25 show no"),
        ((served(1, 0.60),), "retrain", "1 of 1 windows below; 90% .* 3 of 3 windows in drift"),
        ((), "retrain", "3 of 3 windows in drift"),
    ],
    ids=["no drop", "labels of two windows are still coming", "no drop beyond chance", "a drop", "no labels"],
)
def test_labels_that_show_no_drop_overrule_the_drift_of_their_windows(
    performance: tuple[PerformanceWindow, ...], verdict: str, words: str
) -> None:
    found = decided(HEAVY, EITHER, performance=performance)
    assert found.verdict == verdict
    assert pd.Series([found.reason]).str.contains(words).all(), found.reason
    listening = EITHER.model_copy(update={"labels_overrule_drift": False})
    assert decided(HEAVY, listening, performance=performance).verdict == "retrain"


@pytest.mark.parametrize(("days_ago", "verdict"), [(6.9, "wait"), (7, "retrain"), (30, "retrain")])
def test_a_schedule_goes_by_the_age_of_the_last_training(days_ago: float, verdict: str) -> None:
    weekly = SchedulePolicy(kind="schedule", every_days=7)
    assert decided((), weekly, champion(days_ago)).verdict == verdict


def test_a_pause_blocks_until_it_is_over_and_says_what_else_would_be() -> None:
    until = AS_OF + pd.Timedelta(days=3)
    found = decided(paused_until=until, pause_reason="rolled back to v2")
    assert found.verdict == "blocked"
    assert found.reason.startswith("paused until 2024-06-04 00:00 (rolled back to v2); else: retrain: 40%")
    assert decided(paused_until=AS_OF).verdict == "retrain"


def test_the_evidence_is_json_that_any_reader_takes() -> None:
    for policy in (NeverPolicy(kind="never"), WATCHED, POLICY, EITHER):
        found = decided(policy=policy, performance=(*DROPPED, served(0, math.nan)))
        assert json.loads(json.dumps(found.evidence, allow_nan=False)) == found.evidence


def test_evidence_that_has_led_to_a_training_is_not_new_because_a_silent_window_follows() -> None:
    """What spoke was performance; a week later the same mature window stands beside a drift window that is quiet."""
    first = decided((window(1, 0.0),), EITHER, performance=DROPPED)
    later = decided((window(1, 0.0), window(0, 0.0)), EITHER, performance=DROPPED, acted_on={first.decision_id})
    assert (first.verdict, later.verdict) == ("retrain", "wait")
    assert "already led to a training" in later.reason


@given(
    ends=st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True),
    more=st.integers(21, 40),
    kind=st.sampled_from(["drift", "performance"]),
)
@settings(max_examples=100, deadline=None)
def test_equal_facts_have_one_id_and_a_newer_window_another(ends: list[int], more: int, kind: str) -> None:
    """Weeks ago, counted from a later moment: `more` is older than all, so leaving it out leaves the newest."""
    policy: AnyPolicy = POLICY if kind == "drift" else WATCHED

    def found(weeks: list[int]) -> str:
        drift = tuple(window(week, 0.9) for week in weeks)
        return decided(drift, policy, performance=tuple(served(week, 0.5) for week in weeks)).decision_id

    assert found(ends) == found(list(reversed(ends)))
    assert found([*ends, more]) == found(ends)
    assert found([more]) != found(ends)


@given(
    shares=st.lists(st.tuples(st.sampled_from([0.0, 0.15, 0.3, 0.9]), st.booleans()), max_size=6),
    new_rows=st.sampled_from([0, 999, 1000, 9999]),
    days_ago=st.floats(0, 40),
    seconds=st.sampled_from([1.0, 600.0, 601.0]),
)
@settings(max_examples=200, deadline=None)
def test_a_retraining_always_has_all_of_its_reasons(
    shares: list[tuple[float, bool]], new_rows: int, days_ago: float, seconds: float
) -> None:
    windows = tuple(window(i, share, enough) for i, (share, enough) in enumerate(shares))
    found = decided(windows=windows, current=champion(days_ago, seconds), new_rows=new_rows)
    drifting = [share >= 0.2 and enough for share, enough in shares[:3]]
    wanted = (
        bool(drifting)
        and drifting[0]
        and sum(drifting) >= 2
        and new_rows >= 1000
        and champion(days_ago).trained_at + pd.Timedelta(days=14) <= AS_OF
    )
    expected = ("blocked" if seconds > 600 else "retrain") if wanted else "wait"
    assert found.verdict == expected
