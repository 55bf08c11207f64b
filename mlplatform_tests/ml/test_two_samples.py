import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp

from mlplatform.ml.two_samples import compare_categories, compare_numbers, ks_distance

few_values = st.lists(st.sampled_from([-1.5, 0.0, 0.5, 2.0, 7.0, np.inf]), min_size=3, max_size=40).map(np.asarray)
any_values = st.lists(st.floats(allow_nan=False), min_size=3, max_size=40).map(np.asarray)
samples = st.one_of(few_values, any_values)


@given(samples, samples)
@settings(max_examples=200, deadline=None)
def test_the_distance_is_scipys_whatever_is_tied(old: np.ndarray, new: np.ndarray) -> None:
    assert ks_distance(np.sort(old), np.sort(new)) == pytest.approx(ks_2samp(old, new, method="asymp").statistic)


@given(samples, samples)
@settings(max_examples=100, deadline=None)
def test_so_is_the_p_value(old: np.ndarray, new: np.ndarray) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        found = compare_numbers(old, new)
    assert found.p_value == pytest.approx(ks_2samp(old, new, method="asymp").pvalue)


@given(st.lists(st.integers(30, 900), min_size=2, max_size=6), st.lists(st.integers(30, 900), min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_categories_are_tested_by_the_chi_square_of_their_table(old: list[int], new: list[int]) -> None:
    values = min(len(old), len(new))
    table = np.column_stack([old[:values], new[:values]])
    a, b = (pd.Series(np.repeat(np.arange(values).astype(str), each)) for each in table.T)
    found = compare_categories(a, b)
    assert found.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    shares = table / table.sum(axis=0)
    assert found.effect == pytest.approx(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2)


@given(st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    old, new = random.normal(size=300), random.normal(size=200)
    new[::7] = np.nan
    blocks = random.integers(0, 5, 200)
    order = random.permutation(200)
    assert compare_numbers(old, new, (None, blocks)) == compare_numbers(old, new[order], (None, blocks[order]))


def test_none_and_nan_are_the_same_missing_category() -> None:
    found = compare_categories(pd.Series(["a", None] * 50), pd.Series(["a", np.nan] * 50, dtype="object"))
    assert (found.effect, found.p_value) == (0.0, 1.0)


def test_rows_that_are_copies_of_each_other_prove_no_more_than_one_of_them() -> None:
    random = np.random.default_rng(0)
    reference, days = random.normal(size=5000), random.normal(size=7)
    copied, blocks = np.repeat(days, 1000), np.repeat(np.arange(7), 1000)
    naive, honest = compare_numbers(reference, copied), compare_numbers(reference, copied, (None, blocks))
    assert naive.effect == honest.effect
    assert naive.p_value < 1e-100
    assert honest.p_value > 0.05
    assert honest.effective[1] == pytest.approx(6, abs=1.5)
