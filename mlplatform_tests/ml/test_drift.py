import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import false_discovery_control

from mlplatform.ml.drift import ColumnDrift, DriftResult, adjust, find_drift, sample_rows
from mlplatform.spec.drift import Drift

NUMBERS = [f"n{i}" for i in range(20)]


def frame(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    numbers = pd.DataFrame(random.normal(size=(rows, len(NUMBERS))), columns=NUMBERS)
    return numbers.assign(kind=random.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]))


def found(
    old: pd.DataFrame, new: pd.DataFrame, importance: dict[str, float] | None = None, **drift: object
) -> DriftResult:
    rules = Drift.model_validate(drift)
    return find_drift(old, new, rules, columns=[*NUMBERS, "kind"], categorical=["kind"], importance=importance)


def column(result: DriftResult, name: str) -> ColumnDrift:
    return next(each for each in result.columns if each.column == name)


@pytest.mark.parametrize("rows", [600, 5000])
def test_equal_distributions_raise_no_alarm(rows: int) -> None:
    alarms = [found(frame(rows, seed), frame(rows, 1000 + seed)).drifted for seed in range(25)]
    assert alarms == [()] * 25


def test_the_correction_holds_without_help_from_the_least_effect() -> None:
    alarms = sum(bool(found(frame(600, s), frame(600, 500 + s), min_effect=0, alpha=0.05).drifted) for s in range(60))
    # 5 % of 60 are 3; more than 8 has a probability of 0.4 %.
    assert alarms <= 8


def test_a_shifted_column_and_a_shifted_category_are_found_and_nothing_else() -> None:
    new = frame(2000, 1)
    new["n3"] += 0.5
    new["kind"] = new["kind"].where(np.arange(2000) % 3 > 0, "c")
    assert set(found(frame(2000, 0), new).drifted) == {"n3", "kind"}


def by_day(days: int, rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose days differ: a tenth of each column's variance is that of its days."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    levels = random.normal(size=(days, len(NUMBERS))) * 0.1**0.5
    noise = random.normal(size=(days * rows, len(NUMBERS))) * 0.9**0.5
    return pd.DataFrame(levels[day] + noise, columns=NUMBERS), day


def alarm(seed: int, *, count_days: bool, moved: float = 0.0) -> tuple[str, ...]:
    (old, old_days), (new, new_days) = by_day(28, 150, seed), by_day(7, 400, 500 + seed)
    blocks = (old_days, new_days) if count_days else (None, None)
    return find_drift(old, new.assign(n0=new["n0"] + moved), Drift(), columns=NUMBERS, blocks=blocks).drifted


def test_days_that_differ_raise_alarms_unless_rows_are_counted_by_day() -> None:
    assert sum(bool(alarm(seed, count_days=False)) for seed in range(20)) >= 15
    assert sum(bool(alarm(seed, count_days=True)) for seed in range(20)) <= 3


def test_a_column_that_moves_beyond_its_days_is_found_nevertheless() -> None:
    found = [alarm(seed, count_days=True, moved=1.5) for seed in range(20)]
    assert sum("n0" in each for each in found) >= 18


def test_a_million_rows_are_tested_as_they_are() -> None:
    result = find_drift(frame(1000, 0), pd.concat([frame(1000, 0)] * 1000), Drift(), columns=NUMBERS)
    assert result.current_rows == 1_000_000
    assert [each.effect for each in result.columns] == [0.0] * len(NUMBERS)


def test_samples_too_small_for_a_verdict_are_refused_where_they_are_declared() -> None:
    with pytest.raises(ValidationError, match="explained_rows is 400, but fewer than min_rows"):
        Drift(explained_rows=400)


def test_a_small_difference_on_many_rows_is_no_drift() -> None:
    new = frame(5000, 1)
    new["n0"] += 0.12
    result = found(frame(5000, 0), new)
    assert column(result, "n0").adjusted_p_value < 0.01
    assert not column(result, "n0").drifted


def test_too_few_rows_give_no_verdict() -> None:
    result = found(frame(2000, 0), frame(100, 1).assign(n0=9.0))
    assert not result.enough_rows
    assert result.drifted == ()


def test_the_share_of_importance_counts_drifted_columns_only() -> None:
    importance = dict.fromkeys(NUMBERS, 0.0) | {"n0": 3.0, "n1": 1.0, "kind": 0.0, "not_watched": 9.0}
    result = found(frame(1000, 0), frame(1000, 1).assign(n0=5.0), importance)
    assert result.importance_share == pytest.approx(0.75)
    assert found(frame(1000, 0), frame(1000, 1), importance).importance_share == 0


def test_a_column_that_loses_its_values_drifts() -> None:
    new = frame(1000, 1)
    new["n2"] = new["n2"].where(np.arange(1000) % 5 > 0)
    result = column(found(frame(1000, 0), new), "n2")
    assert result.drifted
    assert result.effect == pytest.approx(0.2)
    assert (result.missing_reference, result.missing_current) == (0, 0.2)


def test_the_same_share_of_missing_values_is_no_drift() -> None:
    old, new = frame(1000, 0), frame(1000, 1)
    for each in (old, new):
        each["n2"] = each["n2"].where(np.arange(1000) % 5 > 0)
    assert not column(found(old, new), "n2").drifted


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_a_constant_or_empty_column_is_no_drift_against_itself(value: float) -> None:
    result = found(frame(1000, 0).assign(n0=value, kind=str(value)), frame(1000, 1).assign(n0=value, kind=str(value)))
    assert (column(result, "n0").effect, column(result, "kind").effect) == (0, 0)
    assert result.drifted == ()


def test_a_column_that_vanishes_wholly_drifts() -> None:
    result = found(frame(1000, 0), frame(1000, 1).assign(n0=np.nan, kind=None))
    assert set(result.drifted) == {"n0", "kind"}


def test_rare_categories_raise_no_alarm() -> None:
    ids = [f"id{i}" for i in range(400)]
    alarms = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        old, new = (frame(1000, seed + k).assign(kind=random.choice(ids, 1000)) for k in (0, 100))
        alarms += "kind" in found(old, new).drifted
    assert alarms == 0


def test_booleans_and_nullable_numbers_are_numbers() -> None:
    old, new = frame(1000, 0), frame(1000, 1)
    old["n0"], new["n0"] = old["n0"] > 0, new["n0"] > -1
    old["n1"], new["n1"] = pd.array([1, None] * 500, dtype="Int64"), pd.array([1, 2] * 500, dtype="Int64")
    assert set(found(old, new).drifted) == {"n0", "n1"}


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.asarray)


@given(p_values)
@settings(max_examples=60, deadline=None)
def test_benjamini_hochberg_equals_scipy(values: np.ndarray) -> None:
    assert adjust(values, "benjamini_hochberg") == pytest.approx(false_discovery_control(values))


@given(p_values)
@settings(max_examples=60, deadline=None)
def test_holm_lies_between_no_correction_and_bonferroni(values: np.ndarray) -> None:
    holm = adjust(values, "holm")
    assert (holm >= values).all()
    assert (holm <= np.minimum(1, values * len(values)) + 1e-12).all()
    assert (np.argsort(holm[np.argsort(values, kind="stable")], kind="stable") == np.arange(len(values))).all()


def test_a_sample_keeps_order_and_size() -> None:
    sample = sample_rows(frame(1000, 0), 100, seed=0)
    assert len(sample) == 100
    assert sample.index.is_monotonic_increasing
