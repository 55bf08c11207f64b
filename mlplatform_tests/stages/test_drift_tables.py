"""What a drift report leaves in the lake, and what a decision reads of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform.ml.drift import DriftResult, find_drift
from mlplatform.ml.model_drift import ANSWER, Explained
from mlplatform.ml.root_cause import RootCause, find_causes
from mlplatform.stages.drift_tables import (
    DATA,
    EXPLANATION,
    PREDICTION,
    Kind,
    causes_table,
    drift_history,
    drift_table,
    drift_windows,
    policy_windows,
    store_causes,
    store_drift,
)
from mlplatform_tests.small_fraud import small_fraud

UC = small_fraud()
END = pd.Timestamp("2018-08-01")
WEEK = pd.Timedelta(weeks=1)
LATER = ["kind", "effective_rows", "mean_reference", "mean_current"]


def result(*moved: str, columns: tuple[str, ...] = ("amount", "terminal_risk_7d")) -> DriftResult:
    random = np.random.default_rng(0)
    old, new = (pd.DataFrame({name: random.normal(size=800) for name in columns}) for _ in range(2))
    new = new.assign(**{name: new[name] + 2 for name in moved})
    return find_drift(old, new, UC.spec.drift, columns=columns, importance={columns[0]: 3.0, columns[-1]: 1.0})


def stored(lake: Lake, measured: dict[tuple[pd.Timestamp, Kind], DriftResult], version: int = 1) -> None:
    lake.commit(lambda con: store_drift(con, UC, version, measured), "drift")


def count(lake: Lake, table: str, where: str = "true") -> Any:
    with lake.read() as con:
        return (con.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone() or (0,))[0]


def test_a_decision_counts_drift_of_the_data_only_and_is_told_of_the_answers(lake: Lake) -> None:
    answers = result(ANSWER, columns=(ANSWER,))
    stored(lake, {(END, DATA): result("amount"), (END, PREDICTION): answers, (END, EXPLANATION): result("amount")})
    [window] = drift_windows(UC, lake, 1)
    assert window.importance_share == pytest.approx(0.75)
    assert window.drifted_columns == ("amount",)
    assert window.prediction_drifted
    assert window.prediction_effect == pytest.approx(answers.columns[0].effect)


def test_an_explanation_that_drifts_is_no_drift_of_the_window(lake: Lake) -> None:
    stored(lake, {(END, DATA): result(), (END, EXPLANATION): result("amount", "terminal_risk_7d")})
    [window] = drift_windows(UC, lake, 1)
    assert (window.importance_share, window.drifted_columns, window.prediction_effect) == (0, (), None)


def test_a_window_that_is_measured_again_is_stored_once(lake: Lake) -> None:
    measured = {(END, DATA): result("amount"), (END, PREDICTION): result(columns=(ANSWER,))}
    stored(lake, measured)
    stored(lake, measured | {(END, DATA): result()})
    assert count(lake, drift_table(UC)) == 3
    assert drift_windows(UC, lake, 1)[0].drifted_columns == ()


def test_a_table_from_before_there_were_kinds_is_read_and_goes_on(lake: Lake) -> None:
    stored(lake, {(END - WEEK, DATA): result("amount"), (END - 2 * WEEK, DATA): result()})
    with lake.read() as con:
        old = con.execute(f"SELECT * EXCLUDE ({', '.join(LATER)}) FROM {drift_table(UC)}").df()
    lake.commit(lambda con: con.execute(f"DROP TABLE {drift_table(UC)}"), "as it was")
    lake.commit(lambda con: append_rows(con, drift_table(UC), old), "as it was")
    assert [window.drifted_columns for window in drift_windows(UC, lake, 1)] == [(), ("amount",)]
    stored(
        lake,
        {(END, DATA): result(), (END - WEEK, DATA): result("amount"), (END, PREDICTION): result(columns=(ANSWER,))},
    )
    assert [window.drifted_columns for window in drift_windows(UC, lake, 1)] == [(), ("amount",), ()]
    assert count(lake, drift_table(UC), "kind = 'data'") == 6


def test_a_decision_looks_at_windows_one_behind_the_other(lake: Lake) -> None:
    ends = [END - WEEK, END - pd.Timedelta(days=3), END]
    stored(lake, {(end, DATA): result("amount") for end in ends})
    assert [window.end for window in policy_windows(UC, lake, 1, END)] == [END - WEEK, END]


def test_the_history_of_one_kind_holds_no_other(lake: Lake) -> None:
    stored(lake, {(END, DATA): result(), (END, PREDICTION): result(columns=(ANSWER,))})
    assert drift_history(UC, lake, 1, PREDICTION)["column"].tolist() == [ANSWER]
    assert drift_history(UC, lake, 2, PREDICTION).empty


def causes(slices: list[str]) -> RootCause:
    old, new = (
        Explained(
            pd.DataFrame({"is_night": [0, 1, 1]}),
            np.array([1.0, 2.0, 3.0]) + shift,
            pd.DataFrame({"amount": [1.0, 2.0, 3.0], "terminal_risk_7d": [shift] * 3}),
            "log-odds",
        )
        for shift in (0.0, 0.5)
    )
    return find_causes(old, new, slices)


def test_causes_are_stored_once_a_window_and_add_up_to_the_shift(lake: Lake) -> None:
    since = {"terminal_risk_7d": END - 3 * WEEK}
    for found in (causes([]), causes(["is_night"]), causes(["is_night"])):
        lake.commit(lambda con, found=found: store_causes(con, UC, 1, END, found, since), "causes")  # type: ignore[misc]
    with lake.read() as con:
        rows = con.execute(f"FROM {causes_table(UC)}").df()
    assert len(rows) == 4
    sums = rows.groupby("cause")["change"].sum()
    assert sums["column"] == pytest.approx(0.5)
    assert sums["slice"] == pytest.approx(0.5)
    assert rows.set_index("name").loc["terminal_risk_7d", "since"] == END - 3 * WEEK
    assert rows.set_index("name").loc["amount", ["since", "slice_group"]].isna().all()


def test_causes_of_another_version_stay(lake: Lake) -> None:
    for version in (1, 2):
        lake.commit(lambda con, v=version: store_causes(con, UC, v, END, causes([]), {}), "causes")  # type: ignore[misc]
    assert count(lake, causes_table(UC), "model_version = 1") == 2


def test_too_few_rows_are_no_verdict_in_the_history_too(lake: Lake) -> None:
    stored(lake, {(END, DATA): replace(result(), enough_rows=False)})
    assert not drift_windows(UC, lake, 1)[0].enough_rows
