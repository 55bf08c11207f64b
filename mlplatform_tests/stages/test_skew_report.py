"""A report that looks at less than the one before takes nothing of it back."""

from datetime import datetime
from typing import Any

import pyarrow as pa

from mlplatform.lake.lake import Lake
from mlplatform.lake.skew_causes import LATE, NOT_LOOKED_AT, SKEW
from mlplatform.lake.tables import append_rows
from mlplatform.stages.skew_report import _with_told_causes, skew_differences_table
from mlplatform_tests.small_fraud import small_fraud

UC = small_fraud()


def differences(*causes: tuple[str, str]) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"prediction_id": name, "column": "amount", "predicted_at": datetime(2026, 3, 1), "cause": cause, "then": None}
        for name, cause in causes
    ]
    kinds = {"prediction_id": pa.string(), "column": pa.string(), "predicted_at": pa.timestamp("us")}
    return pa.Table.from_pylist(rows, pa.schema({**kinds, "cause": pa.string(), "then": pa.string()}))


def causes(found: pa.Table) -> dict[str, str]:
    return dict(zip(found["prediction_id"].to_pylist(), found["cause"].to_pylist(), strict=True))


def test_what_is_not_computed_again_keeps_the_cause_that_was_told(lake: Lake) -> None:
    told = differences(("skewed", SKEW), ("late", LATE), ("beyond", NOT_LOOKED_AT))
    lake.commit(lambda con: append_rows(con, skew_differences_table(UC), told), "told")
    again = differences(("skewed", NOT_LOOKED_AT), ("late", SKEW), ("beyond", NOT_LOOKED_AT), ("new", NOT_LOOKED_AT))
    assert causes(_with_told_causes(UC, lake, again)) == {
        "skewed": SKEW,
        "late": SKEW,
        "beyond": NOT_LOOKED_AT,
        "new": NOT_LOOKED_AT,
    }


def test_the_first_report_tells_what_it_found(lake: Lake) -> None:
    found = differences(("first", NOT_LOOKED_AT))
    assert _with_told_causes(UC, lake, found).equals(found)
