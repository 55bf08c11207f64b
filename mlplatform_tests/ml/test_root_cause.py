import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.model_drift import Explained, explain
from mlplatform.ml.root_cause import OTHER, drifting_since, find_causes
from mlplatform.ml.train import TrainedCandidate
from mlplatform_tests.ml.data import labelled_rows

COLUMNS = ["amount", "rate", "night"]
WEEK = pd.Timedelta(weeks=1)
END = pd.Timestamp("2024-06-30")

contributions = st.lists(st.tuples(*[st.floats(-50, 50)] * len(COLUMNS)), min_size=1, max_size=25)
groups = st.sampled_from(["day", "night", None])


def explained(rows: list[tuple[float, ...]], slices: list[str | None]) -> Explained:
    parts = pd.DataFrame(rows, columns=COLUMNS, dtype="float64")
    return Explained(pd.DataFrame({"time": slices}), parts.sum(axis=1).to_numpy() + 3.0, parts, "log-odds")


@st.composite
def samples(draw: st.DrawFn) -> Explained:
    rows = draw(contributions)
    return explained(rows, draw(st.lists(groups, min_size=len(rows), max_size=len(rows))))


@given(samples(), samples())
@settings(max_examples=200, deadline=None)
def test_what_the_columns_explain_adds_up_to_the_shift_of_the_mean_score(old: Explained, new: Explained) -> None:
    found = find_causes(old, new)
    assert sum(each.change for each in found.columns) == pytest.approx(found.shift, abs=1e-9)
    assert found.unexplained == pytest.approx(0, abs=1e-9)
    assert sum(each.share for each in found.columns) == pytest.approx(1) or found.columns[0].change == 0


@given(samples(), samples())
@settings(max_examples=200, deadline=None)
def test_so_do_the_groups_of_a_slice_also_those_that_only_one_sample_has(old: Explained, new: Explained) -> None:
    found = find_causes(old, new, ["time"])
    assert sum(each.change for each in found.slices) == pytest.approx(found.shift, abs=1e-9)
    assert sum(each.rows_current for each in found.slices) == pytest.approx(1)


def test_of_a_real_model_the_column_that_moved_explains_most(trained: TrainedCandidate) -> None:
    model, old, new = trained.model, labelled_rows(400, seed=10), labelled_rows(400, seed=11)
    found = find_causes(explain(model, old), explain(model, new.assign(rate=new["rate"] + 2)))
    assert found.columns[0].column == "rate"
    assert found.columns[0].change > 4 * found.columns[0].standard_error
    assert found.unexplained == pytest.approx(0, abs=1e-4)


def test_a_group_that_grows_adds_by_its_size_and_one_scored_otherwise_by_its_scores() -> None:
    night, day = (2.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    old = explained([night] * 2 + [day] * 8, ["night"] * 2 + ["day"] * 8)
    more = explained([night] * 5 + [day] * 5, ["night"] * 5 + ["day"] * 5)
    grown = {each.group: each for each in find_causes(old, more, ["time"]).slices}
    assert all(each.within == 0 for each in grown.values())
    assert grown["night"].mix > 0
    worse = explained([(4.0, 0.0, 0.0)] * 2 + [day] * 8, ["night"] * 2 + ["day"] * 8)
    changed = {each.group: each for each in find_causes(old, worse, ["time"]).slices}
    assert (changed["night"].mix, changed["day"].change) == (0, 0)
    assert changed["night"].within == pytest.approx(0.4)


def test_rare_groups_count_together() -> None:
    names = [f"shop{i}" for i in range(30)] + ["big"] * 100
    sample = explained([(1.0, 0.0, 0.0)] * 130, names)
    found = find_causes(sample, sample, ["time"]).slices
    assert len(found) == 21
    assert {"big", OTHER} <= {each.group for each in found}


def test_a_slice_that_a_sample_lacks_is_left_out() -> None:
    sample = explained([(1.0, 0.0, 0.0)] * 3, ["day"] * 3)
    assert find_causes(sample, sample, ["terminal"]).slices == ()


def test_drift_lasts_since_the_first_of_the_windows_without_a_gap() -> None:
    drifted = {END - k * WEEK for k in (0, 1, 2, 4)}
    assert drifting_since(drifted, END, WEEK) == END - 3 * WEEK
    assert drifting_since(drifted - {END}, END, WEEK) is None


def test_overlapping_windows_of_other_days_are_passed_over() -> None:
    drifted = {END, END - pd.Timedelta(days=1), END - pd.Timedelta(days=6)}
    assert drifting_since(drifted, END, WEEK) == END - WEEK


def test_columns_that_do_not_move_share_nothing() -> None:
    sample = explained([(1.0, 2.0, 3.0)] * 3, ["day"] * 3)
    found = find_causes(sample, sample)
    assert found.shift == 0
    assert [each.share for each in found.columns] == [0.0] * 3
    assert np.isfinite(found.unexplained)
