"""One row by the short way is what LightGBM says by the long one, bit for bit; where it is not, the long one serves."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError
from mlplatform.ml import fast_row
from mlplatform.ml.fast_row import MOST_ROWS, FastRow
from mlplatform.ml.native_booster import CONTRIBUTIONS, RAW, NativeBooster, library
from mlplatform.ml.stored_trees import StoredTrees
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
    text = booster.model_to_string()
    made = FastRow.of(text, NativeBooster(text))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def native(booster: lgb.Booster) -> NativeBooster:
    return NativeBooster(booster.model_to_string())


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
    class Other(NativeBooster):
        def predict(self, rows: Any, kind: int, threads: int) -> Any:
            return np.nextafter(super().predict(rows, kind, threads), np.inf)

    text = booster.model_to_string()
    assert FastRow.of(text, Other(text)) is None
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
    without = _Without(library())
    monkeypatch.setattr(fast_row, "library", lambda: without)
    text = booster.model_to_string()
    assert FastRow.of(text, NativeBooster(text)) is None
    assert "not to be had here" in caplog.text


def test_a_loaded_model_scores_few_rows_as_it_scores_many(booster: lgb.Booster, tmp_path: Path) -> None:
    TreesScorer(booster).save(tmp_path)
    scorer = StoredTrees.load(tmp_path, {})
    assert scorer.fast is not None
    rows = np.random.default_rng(1).normal(size=(MOST_ROWS + 1, FEATURES))
    assert np.array_equal(scorer.raw(rows)[:-1], scorer.raw(rows[:-1]))
    assert np.array_equal(scorer.contributions(rows)[:-1], scorer.contributions(rows[:-1]))


@given(st.lists(st.tuples(numbers, numbers, numbers, st.integers(-1, 7)), min_size=1, max_size=40))
@hypothesis_settings(deadline=None)
def test_the_library_alone_gives_the_bits_of_lightgbm_s_package(
    booster: lgb.Booster, native: NativeBooster, rows: list[tuple[float, ...]]
) -> None:
    matrix = np.array(rows, dtype=np.float64)
    assert np.array_equal(native.predict(matrix, RAW, threads=1), slow(booster, matrix, raw_score=True))
    contributions = native.predict(matrix, CONTRIBUTIONS, threads=1)
    assert np.array_equal(contributions, slow(booster, matrix, pred_contrib=True), equal_nan=True)


def test_rows_of_another_width_and_texts_that_are_no_model_are_refused(native: NativeBooster) -> None:
    with pytest.raises(ArtifactError, match="number of features"):
        native.predict(np.zeros((1, FEATURES + 1)), RAW, threads=1)
    with pytest.raises(ArtifactError, match="number of classes"):
        NativeBooster("tampered")


def test_a_model_of_many_classes_is_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2))
    data = lgb.Dataset(rows, np.arange(300) % 3)
    many = lgb.train({"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}, data, 2)
    with pytest.raises(ArtifactError, match="a model of 3 classes"):
        NativeBooster(many.model_to_string())


def test_what_is_loaded_is_saved_as_it_was(booster: lgb.Booster, tmp_path: Path) -> None:
    TreesScorer(booster).save(tmp_path)
    text = (tmp_path / "model.txt").read_bytes()
    StoredTrees.load(tmp_path, {}).save(tmp_path)
    assert (tmp_path / "model.txt").read_bytes() == text
