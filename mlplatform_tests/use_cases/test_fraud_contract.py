"""The contract of the features holds for what the SQL computes, the first transaction of a customer included."""

from datetime import timedelta
from pathlib import Path

import duckdb
import jinja2
import pyarrow as pa
import pytest

from mlplatform.contracts.check import Checked, check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.spec import PythonSource
from mlplatform.spec.load import USE_CASES
from mlplatform.use_cases.fraud.source import Reader

DBT = Path(__file__).parents[2] / "dbt_project"
SPEC = PythonSource(name="transactions", kind="python", key=["transaction_id"], start="2018-04-01")


@pytest.fixture(scope="module")
def computed() -> pa.Table:
    """The features of 40 simulated days, by the text that dbt compiles (dbt's own start would take 10 seconds)."""
    reader = Reader({"days": 40, "customers": 300, "terminals": 60}, SPEC)
    first, end = reader.available()
    files = [*sorted(DBT.glob("macros/*.sql")), DBT / "models" / "fraud" / "fraud_features.sql"]
    text = jinja2.Template("".join(file.read_text() for file in files)).render(ref=lambda name: name)
    with duckdb.connect(":memory:") as con:
        con.register("simulated", reader.read(first, end + timedelta(days=1)))
        columns = "transaction_id, event_time, customer_id, terminal_id, amount, is_fraud AS label, label_known_at"
        for table in ("fraud_spine", "fraud_stg_transactions"):
            con.execute(f"CREATE TABLE {table} AS SELECT {columns} FROM simulated")
        return con.execute(text).to_arrow_table()


@pytest.fixture(scope="module")
def checked(computed: pa.Table) -> Checked:
    features = load_contract(USE_CASES / "fraud", "contract", "features")
    return check_rows(features, computed, key=["transaction_id"], time_column="event_time")


def test_the_contract_names_exactly_the_columns_of_the_features(computed: pa.Table, checked: Checked) -> None:
    assert checked.good.column_names == [name for name in checked.good.column_names if name in computed.column_names]
    assert sorted(checked.good.column_names) == sorted(computed.column_names)


def test_every_computed_row_keeps_the_contract(computed: pa.Table, checked: Checked) -> None:
    assert checked.cases.to_dict("records") == []
    assert len(checked.good) == len(computed) > 5_000


def test_a_customer_without_history_is_among_them(checked: Checked) -> None:
    new = checked.good.to_pandas().query("customer_count_30d == 0")
    assert len(new) > 0
    assert new["customer_mean_amount_30d"].isna().all()


def test_frauds_became_known_at_some_terminals(checked: Checked) -> None:
    risky = checked.good.to_pandas().query("terminal_risk_30d > 0")
    assert len(risky) > 0
    assert risky["terminal_days_since_first_fraud"].between(7, 45).all()
