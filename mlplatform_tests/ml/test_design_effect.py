import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.design_effect import effective_rows, time_blocks


def bins(values: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.linspace(-1.5, 1.5, 9), values)


def sample(random: np.random.Generator, alike: float, days: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Bins and days of normal rows whose correlation within a day is `alike`."""
    day = np.repeat(np.arange(days), rows)
    values = np.sqrt(alike) * random.normal(size=days)[day] + np.sqrt(1 - alike) * random.normal(size=days * rows)
    return bins(values), day


def worth(seed: int, alike: float) -> float:
    """Share of a week's rows that counts, beside a reference of four weeks."""
    random = np.random.default_rng(seed)
    (old, old_days), (new, new_days) = sample(random, alike, 28), sample(random, alike, 7)
    return effective_rows((old, new), 10, (old_days, new_days), ordered=True)[1] / len(new)


def test_independent_rows_count_in_full() -> None:
    assert np.median([worth(seed, alike=0) for seed in range(50)]) > 0.9


def test_rows_of_days_that_differ_count_for_less_as_kish_says() -> None:
    """By 1 + (rows of a day - 1) x correlation; that of being below the median is 2 / pi x arcsin of that."""
    found = [1 / worth(seed, alike=0.05) for seed in range(50)]
    assert np.mean(found) / (1 + 199 * 2 / np.pi * np.arcsin(0.05)) == pytest.approx(0.9, abs=0.15)


def test_a_sample_without_blocks_counts_in_full() -> None:
    codes, day = sample(np.random.default_rng(0), 0.2, 7)
    whole, part = effective_rows((codes, codes), 10, (None, day), ordered=True)
    assert whole == len(codes)
    assert part < 0.2 * len(codes)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=60), st.booleans())
@settings(max_examples=100, deadline=None)
def test_rows_never_count_for_more_than_they_are(rows: list[tuple[int, int]], ordered: bool) -> None:
    codes, blocks = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
    found = effective_rows((codes, codes), 5, (blocks, None), ordered=ordered)
    assert 0 <= found[0] <= len(codes)
    assert found[1] == len(codes)


@pytest.mark.parametrize(("window", "blocks"), [(1, 1), (7, 7), (14, 14), (28, 14), (100, 13), (730, 14)])
def test_a_window_has_up_to_14_blocks_of_whole_days(window: int, blocks: int) -> None:
    times = pd.Series(pd.date_range("2024-01-05 00:10", periods=window * 4, freq="6h"))
    found = time_blocks(times, window)
    assert found[0] == 0
    assert len(np.unique(found)) == blocks


def test_no_rows_have_no_blocks() -> None:
    assert len(time_blocks(pd.Series([], dtype="datetime64[us]"), 7)) == 0
