"""Sources by day, by month, whole, and without a time at all."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.errors import MissingExtraError, SpecError
from mlplatform.home import Home
from mlplatform.ingest.days import Days
from mlplatform.lake.lake import Lake
from mlplatform.spec import FilesSource
from mlplatform.stages.jobs import range_tags
from mlplatform.stages.raw_days import partitions_of
from mlplatform_tests.small_fraud import Platform, dagster_home, failed_checks, small_fraud

ROWS = 300


def source(**fields: Any) -> FilesSource:
    given: dict[str, Any] = {"name": "transactions", "kind": "files", "path": "t.csv", "key": ["transaction_id"]}
    return FilesSource.model_validate(given | fields)


def write(path: Path, first: str = "2018-04-20", frequency: str = "4h") -> pd.DataFrame:
    """Fifty days of transactions, six a day."""
    rows = pd.DataFrame(
        {
            "transaction_id": range(ROWS),
            "event_time": pd.date_range(first, periods=ROWS, freq=frequency).astype(str),
            "customer_id": 1,
            "terminal_id": 2,
            "amount": 5.0,
            "is_fraud": 0,
        }
    )
    rows.to_csv(path, index=False)
    return rows


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "transactions.csv"
    write(path)
    return path


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as found:
        yield found


def platform(instance: dg.DagsterInstance, csv: Path, **fields: Any) -> Platform:
    return Platform(small_fraud(sources=[source(path=str(csv), **fields).model_dump()]), instance)


def stored(home: Home) -> tuple[int, date, date]:
    with Lake.at(home).read() as con:
        row = con.execute(
            "SELECT count(*), min(event_time)::DATE, max(event_time)::DATE FROM raw_fraud.transactions"
        ).fetchall()[0]
    return row[0], row[1], row[2]


def test_a_source_by_day_has_the_partitions_it_always_had() -> None:
    found = partitions_of(source(start="2018-04-01", end="2018-04-03"))
    assert found is not None
    assert found.get_partition_keys() == ["2018-04-01", "2018-04-02", "2018-04-03"]


@given(st.dates(date(2010, 1, 1), date(2015, 1, 1)), st.integers(0, 1200))
def test_months_hold_every_declared_day_and_nothing_but_their_months(first: date, days: int) -> None:
    last = date.fromordinal(first.toordinal() + days)
    found = partitions_of(source(start=first.isoformat(), end=last.isoformat(), partition="month"))
    assert found is not None
    behind = date.fromordinal(last.toordinal() + 1)
    assert found.get_partition_keys() == Days(first, behind).keys("month")


def test_the_present_month_can_be_read_before_it_is_over() -> None:
    found = partitions_of(source(start="2018-04-15", partition="month"))
    assert found is not None
    assert found.get_partition_keys(current_time=pd.Timestamp("2018-06-10", tz="UTC").to_pydatetime()) == [
        "2018-04-01",
        "2018-05-01",
        "2018-06-01",
    ]


@pytest.mark.parametrize("fields", [{"partition": "none"}, {"time_column": None}])
def test_a_source_that_is_read_whole_has_no_partitions(fields: dict[str, Any]) -> None:
    assert partitions_of(source(**fields)) is None


def test_a_run_over_days_is_tagged_with_the_months_that_hold_them(csv: Path) -> None:
    monthly = small_fraud(sources=[source(path=str(csv), start="2018-04-20", partition="month").model_dump()])
    assert range_tags(monthly, date(2018, 4, 20), date(2018, 6, 2)) == {
        "dagster/asset_partition_range_start": "2018-04-01",
        "dagster/asset_partition_range_end": "2018-06-01",
    }
    whole = small_fraud(sources=[source(path=str(csv), partition="none").model_dump()])
    assert range_tags(whole, date(2018, 4, 20), date(2018, 6, 2)) == {}


def test_months_are_ingested_one_by_one_or_all_at_once(instance: dg.DagsterInstance, csv: Path, home: Home) -> None:
    monthly = platform(instance, csv, start="2018-04-22", partition="month")
    assert monthly.run(["raw_transactions"], days=28).success  # up to the end of April
    assert stored(home) == (9 * 6, date(2018, 4, 22), date(2018, 4, 30))
    assert monthly.run(["raw_transactions"]).success
    assert stored(home) == (48 * 6, date(2018, 4, 22), date(2018, 6, 8))
    key = dg.AssetKey(["fraud", "raw_transactions"])
    assert instance.get_materialized_partitions(key) == {"2018-04-01", "2018-05-01", "2018-06-01"}


def test_a_timed_source_without_partitions_is_read_whole_and_only_where_declared(
    instance: dg.DagsterInstance, csv: Path, home: Home
) -> None:
    whole = platform(instance, csv, partition="none", end="2018-05-31")
    assert whole.run(["raw_transactions"]).success
    assert whole.run(["raw_transactions"]).success
    assert stored(home) == (42 * 6, date(2018, 4, 20), date(2018, 5, 31))
    assert whole.metadata("raw_transactions")["rows_new_or_changed"] == 0
    assert "2018-06-01..2018-06-08 (after `end`)" in whole.metadata("raw_transactions")["left_out"]


def test_a_source_that_is_read_whole_is_read_whole_also_beside_one_with_partitions(
    instance: dg.DagsterInstance, csv: Path, home: Home
) -> None:
    write(csv, first="2015-01-01")
    whole = source(path=str(csv), partition="none").model_dump()
    daily = small_fraud().spec.sources[0].model_dump() | {"name": "others"}
    both = Platform(small_fraud(sources=[whole, daily]), instance)
    assert both.run(["raw_transactions"], days=2).success
    assert stored(home) == (ROWS, date(2015, 1, 1), date(2015, 2, 19))


def test_a_table_without_a_time_is_merged_by_its_key(instance: dg.DagsterInstance, csv: Path, home: Home) -> None:
    table = platform(instance, csv, time_column=None)
    assert table.run(["raw_transactions"]).success
    assert table.metadata("raw_transactions")["days"] == "no time"
    rows = write(csv)
    rows.loc[3, "amount"] = 6.0
    rows.to_csv(csv, index=False)
    assert table.run(["raw_transactions"]).success
    assert stored(home)[0] == ROWS
    assert table.metadata("raw_transactions")["rows_new_or_changed"] == 1


def test_a_table_with_too_many_bad_rows_stops_the_run(instance: dg.DagsterInstance, csv: Path) -> None:
    rows = write(csv).astype(str)
    rows.loc[:50, "amount"] = "much"
    rows.to_csv(csv, index=False)
    result = platform(instance, csv, time_column=None).run(["raw_transactions"])
    assert failed_checks(result) == {"contract"}


def test_an_empty_table_is_a_clear_error(instance: dg.DagsterInstance, csv: Path) -> None:
    write(csv).head(0).to_csv(csv, index=False)
    result = platform(instance, csv, time_column=None).run(["raw_transactions"])
    assert "source `transactions` holds no row" in str(
        result.get_step_failure_events()[0].step_failure_data.error.to_string()
    )


def test_the_sensor_reads_a_whole_source_once_for_each_content(instance: dg.DagsterInstance, csv: Path) -> None:
    whole = platform(instance, csv, partition="none")
    first = whole.tick("fraud_new_data").requests
    assert [request.job_name for request in first] == ["fraud_everything"]
    assert not any(name.startswith("dagster/asset_partition") for name in first[0].tags)
    assert whole.tick("fraud_new_data").requests[0].run_key == first[0].run_key
    write(csv, first="2018-04-21")
    assert whole.tick("fraud_new_data").requests[0].run_key != first[0].run_key


def test_fewer_days_cannot_be_asked_of_sources_that_are_read_whole(csv: Path) -> None:
    from mlplatform.cli.run import _last_day

    whole = small_fraud(sources=[source(path=str(csv), partition="none").model_dump()])
    with pytest.raises(SpecError, match="have no partitions, they are read whole"):
        _last_day(whole, "2018-05-01")


def test_the_sensor_rests_where_the_extra_of_a_source_is_not_installed(
    instance: dg.DagsterInstance, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any) -> Any:
        raise MissingExtraError("source `transactions` needs the optional extra `datasets`")

    monkeypatch.setattr("mlplatform.ingest.open.open_source", absent)
    tick = platform(instance, csv, partition="none").tick("fraud_new_data")
    assert tick.requests == []
    assert tick.skipped == "source `transactions` needs the optional extra `datasets`"
