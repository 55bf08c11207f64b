import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.decision import Champion, Decision, WindowEvidence, decide
from mlplatform.spec.policy import Policy

AS_OF = pd.Timestamp("2024-06-01")
POLICY = Policy(
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
    policy: Policy = POLICY,
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
    assert [w["in_drift"] for w in found.evidence["windows"]] == [False, True, True]


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"policy": Policy(kind="never")}, "wait", "never to retrain"),
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
