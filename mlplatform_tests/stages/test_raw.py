"""Bad input at the door: what is quarantined, what stops the run, and that nothing good is lost or doubled."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform_tests.small_fraud import Platform, dagster_home, failed_checks, small_fraud

ROWS = 200


def transactions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "TX_ID": range(ROWS),
            "event_time": pd.date_range("2018-04-01", periods=ROWS, freq="5min").astype(str),
            "customer_id": 1,
            "terminal_id": 2,
            "amount": [str(float(i)) for i in range(ROWS)],
            "is_fraud": 0,
        }
    )


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "transactions.csv"
    transactions().to_csv(path, index=False)
    return path


@pytest.fixture
def platform(prepared: Home, csv: Path) -> Iterator[Platform]:
    """A user's own CSV, with another name for the key: only the source in the YAML is another one."""
    source = {
        "name": "transactions",
        "kind": "files",
        "path": str(csv),
        "key": ["transaction_id"],
        "start": "2018-04-01",
        "columns": {"transaction_id": "TX_ID"},
    }
    with dagster_home(prepared.dagster) as instance:
        yield Platform(small_fraud(sources=[source]), instance)


def count(home: Home, table: str) -> int:
    lake = Lake.at(home)
    if not lake.has_table(table):
        return 0
    with lake.read() as con:
        return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def ingest(platform: Platform) -> dg.ExecuteInProcessResult:
    return platform.run(["raw_transactions"])


def test_a_users_own_csv_is_ingested_once_however_often_it_is_read(platform: Platform, home: Home) -> None:
    assert ingest(platform).success
    assert ingest(platform).success
    assert count(home, "raw_fraud.transactions") == ROWS
    assert platform.metadata("raw_transactions")["rows_new_or_changed"] == 0


def test_days_outside_of_the_declared_ones_are_named(platform: Platform, csv: Path) -> None:
    rows = transactions()
    rows["event_time"] = pd.date_range("2018-03-30 23:50", periods=ROWS, freq="1h").astype(str)
    rows.to_csv(csv, index=False)
    ingest(platform)
    told = platform.metadata("raw_transactions")["left_out"]
    assert told == "the source also has 2018-03-30..2018-03-31 (before `start`); those days are left out"


def test_its_days_show_as_materialised_partitions(platform: Platform) -> None:
    ingest(platform)
    key = dg.AssetKey(["fraud", "raw_transactions"])
    assert platform.instance.get_materialized_partitions(key) == {"2018-04-01"}


def test_a_bad_row_below_the_allowed_share_is_quarantined_with_its_reason(
    platform: Platform, home: Home, csv: Path
) -> None:
    rows = transactions()
    rows.loc[7, "amount"] = "a lot"
    rows.to_csv(csv, index=False)
    assert ingest(platform).success
    assert ingest(platform).success
    assert count(home, "raw_fraud.transactions") == ROWS - 1
    with Lake.at(home).read() as con:
        reasons = con.execute("SELECT _reason FROM fraud.quarantine").fetchall()
    assert len(reasons) == 1
    assert "amount" in reasons[0][0]
    assert "a lot" in reasons[0][0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("TX_ID", ""),
        ("TX_ID", "7"),
        ("amount", "-5"),
        ("amount", "much"),
        ("is_fraud", "2"),
        ("event_time", "next week"),
    ],
)
def test_too_many_bad_rows_stop_the_run_and_the_corrected_file_is_taken_whole(
    platform: Platform, home: Home, csv: Path, column: str, value: str
) -> None:
    rows = transactions().astype(str)
    rows.loc[10:19, column] = value
    rows.to_csv(csv, index=False)
    result = ingest(platform)
    assert not result.success
    assert failed_checks(result) == {"contract"}
    assert count(home, "raw_fraud.transactions") == 0
    assert count(home, "fraud.quarantine") >= 9
    transactions().to_csv(csv, index=False)
    assert ingest(platform).success
    assert count(home, "raw_fraud.transactions") == ROWS


@pytest.mark.parametrize("days_later", [20, 60], ids=["in one batch", "across batches"])
def test_of_two_rows_of_one_id_the_first_stays_wherever_a_batch_ends(
    platform: Platform, home: Home, csv: Path, days_later: int
) -> None:
    rows = transactions()
    late = rows.iloc[[7]].assign(
        event_time=str(pd.Timestamp("2018-04-01") + pd.Timedelta(days=days_later)), amount="150"
    )
    # A day of its own, so that the bad row is a small share of its batch.
    around = transactions().assign(TX_ID=range(1000, 1000 + ROWS), event_time=late["event_time"].iloc[0])
    pd.concat([rows, late, around]).to_csv(csv, index=False)
    assert ingest(platform).success
    assert ingest(platform).success
    assert count(home, "raw_fraud.transactions") == 2 * ROWS
    assert count(home, "fraud.quarantine") == 1
    with Lake.at(home).read() as con:
        kept = con.execute("SELECT amount FROM raw_fraud.transactions WHERE transaction_id = 7").fetchall()
    assert kept == [(7.0,)]


def test_a_row_that_was_corrected_replaces_the_one_before(platform: Platform, home: Home, csv: Path) -> None:
    ingest(platform)
    transactions().assign(amount="5.0").to_csv(csv, index=False)
    assert ingest(platform).success
    assert count(home, "raw_fraud.transactions") == ROWS
    assert platform.metadata("raw_transactions")["rows_new_or_changed"] == ROWS - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("TX_ID,event_time,customer_id,terminal_id,amount,is_fraud\n", "row"),
        ("TX_ID,event_time,customer_id,terminal_id,is_fraud\n1,2018-04-01,1,2,0\n", "amount"),
        ('TX_ID,event_time,customer_id,terminal_id,amount,is_fraud\n1,2018-04-01,1,2,"12', "transactions.csv"),
    ],
    ids=["an empty file", "only a header", "a missing column", "a truncated file"],
)
def test_a_broken_file_is_a_clear_error_and_nothing_is_written(
    platform: Platform, home: Home, csv: Path, text: str, message: str
) -> None:
    csv.write_text(text)
    result = ingest(platform)
    assert not result.success
    assert message in str(result.get_step_failure_events()[0].step_failure_data.error.to_string())
    assert count(home, "raw_fraud.transactions") == 0


def test_an_event_behind_the_ingested_day_is_refused_as_future(platform: Platform, home: Home, csv: Path) -> None:
    assert platform.run(["raw_transactions"], days=1).success
    assert count(home, "raw_fraud.transactions") == ROWS
