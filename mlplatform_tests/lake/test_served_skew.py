"""Features as they were served beside those in the lake: what differs is listed, and nothing else."""

import json
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.served_skew import served_skew
from mlplatform.lake.tables import replace_table
from mlplatform.spec import UseCase, load_declaration

NOW = datetime(2018, 8, 1, 12)
LAKE_ROWS = {
    "transaction_id": [1, 2, 3, 4],
    "amount": [10.0, 20.0, 30.0, 40.0],
    "customer_large_amounts_14d": [0, 1, 2, 3],
    "customer_hours_since_last": [None, 2.5, float("nan"), 4.5],
}


@pytest.fixture
def spec() -> UseCase:
    return load_declaration("fraud").spec


def lake_with(tmp_path: Any, served: list[dict[str, Any]]) -> Lake:
    """Predictions of examples 1, 2, ... with these features."""
    lake = Lake.at(Home(tmp_path))
    rows = pa.table(
        {
            "prediction_id": [f"p{number}" for number in range(len(served))],
            "transaction_id": [str(number + 1) for number in range(len(served))],
            "predicted_at": pa.array([NOW] * len(served), pa.timestamp("us")),
            "event_time": pa.array([NOW] * len(served), pa.timestamp("us")),
            "model_version": [1] * len(served),
            "role": ["champion"] * len(served),
            "features": [json.dumps(features) for features in served],
        }
    )
    lake.commit(lambda con: replace_table(con, "fraud.features", pa.table(LAKE_ROWS)), "features")
    lake.commit(lambda con: replace_table(con, "fraud.prediction_log", rows), "served")
    return lake


def row(number: int, **other: Any) -> dict[str, Any]:
    return {name: values[number] for name, values in LAKE_ROWS.items() if name != "transaction_id"} | other


def test_equal_features_are_no_difference_whatever_their_type(tmp_path: Any, spec: UseCase) -> None:
    served = [
        row(0),
        row(1, amount=20, customer_large_amounts_14d=1.0, customer_hours_since_last=2.5 * (1 + 1e-12)),
        row(2, customer_hours_since_last=None),
    ]
    compared, differences = served_skew(lake_with(tmp_path, served), spec, NOW - timedelta(days=1))
    assert (compared, differences.to_pylist()) == (3, [])


def test_every_value_that_differs_is_listed(tmp_path: Any, spec: UseCase) -> None:
    served = [row(0, customer_hours_since_last=1.0), row(1, amount=20.001, customer_hours_since_last=None), row(2)]
    compared, differences = served_skew(lake_with(tmp_path, served), spec, NOW - timedelta(days=1))
    assert compared == 3
    assert [(d["prediction_id"], d["column"], d["served"], d["offline"]) for d in differences.to_pylist()] == [
        ("p0", "customer_hours_since_last", "1.0", None),
        ("p1", "amount", "20.001", "20.0"),
        ("p1", "customer_hours_since_last", None, "2.5"),
    ]


def test_what_the_journal_leaves_out_and_what_is_unknown_to_the_lake_is_not_compared(
    tmp_path: Any, spec: UseCase
) -> None:
    served = [{"amount": 10.0}, *[row(1), row(2), row(3)], {"amount": 99.0}]
    compared, differences = served_skew(lake_with(tmp_path, served), spec, NOW - timedelta(days=1))
    assert (compared, differences.num_rows) == (4, 0), "example 5 is not in the lake"
    assert served_skew(lake_with(tmp_path, served), spec, NOW + timedelta(days=1))[0] == 0
