"""One row by the short way is what LightGBM says by the long one, bit for bit; where it is not, the long one serves."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlplatform.ml.fast_row import MOST_ROWS, FastRow
from mlplatform.ml.trees import TreesScorer

FEATURES = 4


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    generator = np.random.default_rng(0)
    rows = np.column_stack([generator.normal(size=(2000, FEATURES - 1)), generator.integers(0, 5, 2000)])
    rows[::7, 0] = np.nan
    labels = (np.nan_to_num(rows[:, 0]) + (rows[:, 3] == 2) > 0.3).astype(int)
    data = lgb.Dataset(rows, labels, categorical_feature=[3])
    trained = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 30)
    return lgb.Booster(model_str=trained.model_to_string())


def slow(booster: lgb.Booster, rows: Any, **what: bool) -> Any:
    return np.asarray(booster.predict(rows, num_threads=1, **what))


@pytest.fixture(scope="module")
def fast(booster: lgb.Booster) -> FastRow:
    made = FastRow.of(booster.model_to_string(), partial(slow, booster), FEATURES)
    assert made is not None
    return made


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(numbers, numbers, numbers, st.integers(-1, 7)), min_size=1, max_size=MOST_ROWS))
@hypothesis_settings(deadline=None)
def test_any_rows_get_the_same_bits(booster: lgb.Booster, fast: FastRow, rows: list[tuple[float, ...]]) -> None:
    matrix = np.array(rows, dtype=np.float64)
    assert np.array_equal(fast.raw(matrix), slow(booster, matrix, raw_score=True))
    assert np.array_equal(fast.contributions(matrix), slow(booster, matrix, pred_contrib=True), equal_nan=True)


def test_many_threads_do_not_see_each_others_rows(booster: lgb.Booster, fast: FastRow) -> None:
    matrices = [np.random.default_rng(seed).normal(size=(3, FEATURES)) for seed in range(8)]

    def ask(rows: Any) -> bool:
        expected = slow(booster, rows, raw_score=True)
        return all(np.array_equal(fast.raw(rows), expected) for _ in range(200))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, matrices))


def test_where_it_says_anything_else_the_long_way_serves(
    booster: lgb.Booster, caplog: pytest.LogCaptureFixture
) -> None:
    def other(rows: Any, **what: bool) -> Any:
        return np.nextafter(slow(booster, rows, **what), np.inf)

    assert FastRow.of(booster.model_to_string(), other, FEATURES) is None
    assert "gives other numbers" in caplog.text


class _Without:
    """LightGBM's library as a version that has dropped the private function."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        if "SingleRowFastInit" in name:
            raise AttributeError(name)
        return getattr(self._library, name)


def test_where_lightgbm_has_no_such_function_the_long_way_serves(
    booster: lgb.Booster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lgb.basic, "_LIB", _Without(lgb.basic._LIB))
    assert FastRow.of(booster.model_to_string(), partial(slow, booster), FEATURES) is None
    assert "not to be had here" in caplog.text


def test_a_loaded_model_scores_few_rows_as_it_scores_many(booster: lgb.Booster, tmp_path: Path) -> None:
    TreesScorer(booster).save(tmp_path)
    scorer = TreesScorer.load(tmp_path, {})
    assert scorer.fast is not None
    rows = np.random.default_rng(1).normal(size=(MOST_ROWS + 1, FEATURES))
    assert np.array_equal(scorer.raw(rows)[:-1], scorer.raw(rows[:-1]))
    assert np.array_equal(scorer.contributions(rows)[:-1], scorer.contributions(rows[:-1]))
