import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.ml.backtest import Backtest, PolicyRun, ReplayedWindow

END = pd.Timestamp("2024-06-01")


def run(policy: str, value: float, trainings: int, seconds: float = 1.0, rows: int = 100) -> PolicyRun:
    """A policy with the same metric in each of 20 windows, that trained after the first ones."""
    windows = tuple(
        ReplayedWindow(END, END, rows, value, END, "", "", trained=i < trainings - 1, seconds=seconds * (i < trainings))
        for i in range(20)
    )
    return PolicyRun(policy, True, seconds, windows)


def found(*runs: PolicyRun) -> Backtest:
    return Backtest("small", "auc", runs)


def test_the_cheapest_policy_that_keeps_95_percent_of_the_gain_is_recommended() -> None:
    result = found(run("never", 0.6, 1), run("weekly", 0.8, 20), run("drift", 0.78, 3), run("performance", 0.794, 6))
    assert result.recommended().policy == "performance"
    assert result.cost("performance") == pytest.approx(6 / 20)
    assert result.recommendation == (
        "performance: keeps 97% of weekly's gain of 0.200 auc over never, with 6 trainings (7 s) instead of 20 (21 s)."
    )


def test_where_nothing_gains_nobody_should_train() -> None:
    result = found(run("never", 0.8, 1), run("weekly", 0.79, 20))
    assert result.recommended().policy == "never"
    assert "no policy had a better auc than the first model" in result.recommendation


def course(policy: str, values: list[float]) -> PolicyRun:
    """A policy with these values, one a window."""
    windows = tuple(ReplayedWindow(END, END, 100, value, END, "", "", trained=i == 0) for i, value in enumerate(values))
    return PolicyRun(policy, True, 1.0, windows)


def test_a_gain_that_reads_as_nothing_is_no_reason_to_train() -> None:
    result = found(run("never", 0.8, 1), run("weekly", 0.8001, 2))
    assert result.recommended().policy == "never"
    assert result.recommendation == (
        "never: in these 20 windows no policy had a better auc than the first model by more than chance; the largest "
        "gain was 0.000."
    )


def test_a_gain_in_some_windows_and_a_loss_in_others_is_chance() -> None:
    """0.02 on average, and 0.06 up or 0.02 down in turn."""
    result = found(course("never", [0.8] * 4), course("weekly", [0.86, 0.78, 0.86, 0.78]))
    assert result.gain("weekly") == pytest.approx(0.02)
    assert result.recommended().policy == "never"


def test_a_gain_of_the_windows_behind_a_turn_is_more_than_chance_however_many_lie_before_it() -> None:
    never, weekly = [0.8] * 20 + [0.6, 0.5, 0.6, 0.5], [0.8] * 20 + [0.7, 0.7, 0.8, 0.7]
    assert found(course("never", never), course("weekly", weekly)).recommended().policy == "weekly"


def test_one_window_alone_shows_no_gain() -> None:
    result = found(course("never", [0.8] * 9 + [0.7]), course("weekly", [0.8] * 10))
    assert result.recommended().policy == "never"


def test_luck_that_is_larger_than_a_sure_gain_is_not_recommended_in_its_place() -> None:
    lucky = course("weekly", [0.95, 0.75, 0.95, 0.75])
    result = found(course("never", [0.8] * 4), lucky, course("drift", [0.83, 0.84, 0.83, 0.84]))
    assert result.best().policy == "weekly"
    assert result.recommended().policy == "drift"


def test_a_window_without_a_figure_says_nothing_of_a_gain() -> None:
    never, weekly = [0.8, 0.8, math.nan, 0.8], [0.85, 0.86, math.nan, 0.85]
    assert found(course("never", never), course("weekly", weekly)).recommended().policy == "weekly"


def test_the_metric_weighs_windows_by_their_rows_and_leaves_out_those_without_one() -> None:
    first, second, third = (
        ReplayedWindow(END, END, rows, value, END, "", "") for rows, value in ((100, 0.5), (300, 0.9), (50, math.nan))
    )
    assert PolicyRun("never", True, 1.0, (first, second, third)).metric == pytest.approx(0.8)


def test_an_estimate_is_within_where_the_measured_interval_holds_it() -> None:
    """Two of four estimates lie within, one of four promises; windows that several policies share count once."""
    windows = tuple(
        ReplayedWindow(
            END + pd.Timedelta(days=i), END, 10, 0.5, END, "", "", estimate=said, promised=0.52 + i, low=0.45, high=0.55
        )
        for i, said in enumerate((0.45, 0.5, 0.56, 0.9))
    )
    told = found(PolicyRun("never", True, 1.0, windows), PolicyRun("weekly", True, 1.0, windows)).estimates
    assert told is not None
    assert (told.windows, told.within, told.promise_within) == (4, 0.5, 0.25)
    assert told.bias == pytest.approx((0.45 + 0.5 + 0.56 + 0.9) / 4 - 0.5)
    assert "(0.103 too high), within the measured interval in 50% of 4 windows" in str(told)


@given(
    others=st.lists(st.tuples(st.floats(0.4, 0.9), st.integers(1, 20)), min_size=1, max_size=5),
    never=st.floats(0.4, 0.9),
)
def test_the_recommended_policy_keeps_the_gain_and_none_that_does_is_cheaper(
    others: list[tuple[float, int]], never: float
) -> None:
    result = found(run("never", never, 1), *(run(f"p{i}", value, n) for i, (value, n) in enumerate(others)))
    chosen, gain = result.recommended(), max(value for value, _ in others) - never
    if gain < 0.0005:
        assert chosen.policy == "never"
        return
    assert result.gain(chosen.policy) >= 0.95 * gain - 1e-9
    assert all(
        each.trainings >= chosen.trainings for each in result.runs if result.gain(each.policy) >= 0.95 * gain + 1e-9
    )
