"""A use case whose rows lie in a user's own database: only the source in the YAML is another one."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from mlplatform.home import Home
from mlplatform.ingest.open import open_reader
from mlplatform.lake.lake import Lake
from mlplatform.spec import PythonSource
from mlplatform_tests.databases import PASSWORD, UserDatabase
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

Open = Callable[[str], UserDatabase]
OWN_NAMES = {"transaction_id": "id", "event_time": "booked_at"}


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as found:
        yield found


@pytest.fixture(scope="module")
def simulated() -> pa.Table:
    """Twelve days of the fraud simulator's small world."""
    declared = small_fraud(days=12)
    source = declared.spec.sources[0]
    assert isinstance(source, PythonSource)
    return open_reader(source, declared.folder).read(date(2018, 4, 1), date(2018, 4, 13))


def own(rows: pa.Table) -> pa.Table:
    return rows.rename_columns([OWN_NAMES.get(name, name) for name in rows.column_names])


def platform(instance: dg.DagsterInstance, database: UserDatabase, **fields: Any) -> Platform:
    source: dict[str, Any] = {
        "name": "transactions",
        "kind": "sql",
        "database": database.declared,
        "columns": OWN_NAMES,
    }
    source |= {"key": ["transaction_id"], "start": "2018-04-01", "table": "bookings", "max_days_per_run": 14}
    return Platform(small_fraud(sources=[source | fields]), instance)


def stored(home: Home) -> pa.Table:
    with Lake.at(home).read() as con:
        query = "SELECT * EXCLUDE (_loaded_at) FROM raw_fraud.transactions ORDER BY transaction_id"
        found: pa.Table = con.execute(query).to_arrow_table()
    return found


@pytest.mark.parametrize("engine", ["sqlite", "duckdb", "postgres"])
def test_transactions_of_a_database_are_ingested_as_those_of_the_simulator(
    instance: dg.DagsterInstance, home: Home, user_database: Open, simulated: pa.Table, engine: str
) -> None:
    database = user_database(engine)
    database.store("bookings", own(simulated))
    fraud = platform(instance, database)
    assert fraud.run(["raw_transactions"], days=3).success
    assert stored(home)["event_time"].to_pylist()[-1] < datetime(2018, 4, 4)
    assert fraud.run(["raw_transactions"]).success
    expected = simulated.sort_by("transaction_id")
    found = stored(home)
    assert found.select(expected.column_names).cast(expected.schema).equals(expected)
    assert len(instance.get_materialized_partitions(dg.AssetKey(["fraud", "raw_transactions"]))) == 12
    assert fraud.run(["raw_transactions"]).success
    assert fraud.metadata("raw_transactions")["rows_new_or_changed"] == 0


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_the_sensor_asks_for_a_run_when_there_are_new_rows(
    instance: dg.DagsterInstance, user_database: Open, simulated: pa.Table, engine: str
) -> None:
    database = user_database(engine)
    early = simulated.slice(0, len(simulated) // 2)
    database.store("bookings", own(early))
    fraud = platform(instance, database)
    first = fraud.tick("fraud_new_data").requests
    assert [request.job_name for request in first] == ["fraud_everything"]
    assert fraud.tick("fraud_new_data").requests[0].run_key == first[0].run_key
    database.insert("bookings", own(simulated.slice(len(early))))
    assert fraud.tick("fraud_new_data").requests[0].run_key != first[0].run_key


def test_the_sensor_asks_once_for_rows_behind_the_cursor_and_not_again_when_they_are_stored(
    instance: dg.DagsterInstance, home: Home, user_database: Open, simulated: pa.Table
) -> None:
    database = user_database("sqlite")
    early = simulated.slice(0, len(simulated) // 2)
    database.store("bookings", own(early))
    fraud = platform(instance, database, partition="none", start=None, cursor={"column": "id"})
    (first,) = fraud.tick("fraud_new_data").requests
    assert fraud.run(["raw_transactions"]).success
    assert len(stored(home)) == len(early)
    assert fraud.tick("fraud_new_data").requests[0].run_key == first.run_key
    database.insert("bookings", own(simulated.slice(len(early))))
    assert fraud.tick("fraud_new_data").requests[0].run_key != first.run_key
    assert fraud.run(["raw_transactions"]).success
    assert len(stored(home)) == len(simulated)


def test_a_row_without_a_time_is_quarantined_with_its_reason(
    instance: dg.DagsterInstance, home: Home, user_database: Open, simulated: pa.Table
) -> None:
    database = user_database("sqlite")
    database.store("bookings", own(simulated))
    database.run("UPDATE bookings SET booked_at = NULL WHERE id = (SELECT min(id) FROM bookings)")
    fraud = platform(instance, database)
    assert fraud.run(["raw_transactions"]).success
    assert len(stored(home)) == len(simulated) - 1
    with Lake.at(home).read() as con:
        reasons = con.execute("SELECT _reason FROM fraud.quarantine").fetchall()
    assert len(reasons) == 1
    assert "event_time" in reasons[0][0]


def test_neither_dagster_s_record_of_a_failure_nor_any_file_of_the_home_holds_the_password(
    instance: dg.DagsterInstance, home: Home, user_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = user_database("postgres")
    monkeypatch.setenv("SHOP_DATABASE", database.place.rpartition("/")[0] + "/nowhere")
    result = platform(instance, database).run(["raw_transactions"])
    told = str(result.get_step_failure_events()[0].step_failure_data.error)
    assert "the server has no such database" in told
    assert PASSWORD not in told
    written = [path for path in Path(home.root).rglob("*") if path.is_file()]
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []
