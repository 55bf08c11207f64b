"""The fraud use case's own contract, and a few transactions that keep it."""

from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlplatform.contracts.check import Checked, check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.spec.load import USE_CASES

FRAUD = USE_CASES / "fraud"
KEY = ["transaction_id"]


@pytest.fixture(scope="session")
def transactions() -> type[Any]:
    return load_contract(FRAUD, "contract", "transactions")


def rows(count: int = 6) -> pd.DataFrame:
    """Good rows, as text, with a bit of every column a user's file needs."""
    hours = pd.date_range("2018-04-01", periods=count, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    numbers = [str(i) for i in range(count)]
    columns = {
        "transaction_id": numbers,
        "event_time": list(hours),
        "customer_id": numbers,
        "terminal_id": numbers,
        "amount": [f"{i}.5" for i in range(count)],
        "is_fraud": ["0", "1"] * (count // 2) + ["0"] * (count % 2),
    }
    return pd.DataFrame(columns, dtype=object)


def check(schema: type[Any], batch: pd.DataFrame | pa.Table, before: datetime = datetime(2018, 4, 2)) -> Checked:
    return check_rows(schema, batch, key=KEY, time_column="event_time", before=before)


def ids(table: pa.Table) -> list[str]:
    return [str(value) for value in table["transaction_id"].to_pylist()]
