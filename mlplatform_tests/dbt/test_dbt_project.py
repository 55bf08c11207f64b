"""The dbt project, built for real: a lake with a few odd rows in, tables and checks out."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from mlplatform.home import Home
from mlplatform.lake.extensions import copy_extensions
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.lock import write_lock
from mlplatform.lake.tables import replace_table
from mlplatform_tests.lake.feature_history import transactions

PROJECT = Path(__file__).parents[2] / "dbt_project"
KEYS = ("transaction_id", "event_time", "customer_id", "terminal_id")


def dbt(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    kept = ["--target-path", str(home.root / "target"), "--log-path", str(home.root / "logs")]
    return subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, *where, *kept],
        cwd=PROJECT,
        env={**os.environ, **home.environment()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def raw_rows() -> pa.Table:
    """300 good rows, a correction of row 0 that came later, a row without a customer, and a strange amount.

    Two columns are not there, as in many people's files: when labels became known, and when rows were loaded.
    """
    columns = {name: values.to_pylist() for name, values in zip(*_named(transactions(300)), strict=True)}
    rows = [
        {**{key: columns[key][i] for key in KEYS}, "amount": columns["amount"][i], "is_fraud": columns["label"][i]}
        for i in range(300)
    ]
    rows[5]["is_fraud"] = None
    rows[6]["amount"] = float("nan")
    rows[7]["amount"] = 9999.0
    rows.append({**rows[0]})
    rows.append({**rows[1], "transaction_id": 1000, "customer_id": None})
    return pa.Table.from_pylist(rows)


def _named(table: pa.Table) -> tuple[list[str], list[pa.ChunkedArray]]:
    return table.column_names, table.columns


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose lake went through one `dbt build`."""
    home = Home(tmp_path_factory.mktemp("dbt") / "home")
    copy_extensions(home.extensions)
    Lake.at(home).commit(lambda con: replace_table(con, "raw_fraud.transactions", raw_rows()), "raw rows")
    done = dbt(home, "build", "--select", "fqn:*.fraud.*")
    assert done.returncode == 0, done.stdout
    return home


def test_each_transaction_stands_once_and_rows_without_a_key_do_not(built: Home) -> None:
    with Lake.at(built).read() as con:
        count = "SELECT count(*), count(DISTINCT transaction_id), max(transaction_id) FROM"
        for table in ("stg_transactions", "spine", "features"):
            assert con.execute(f"{count} fraud.{table}").fetchone() == (300, 300, 299)


def test_strange_amounts_are_flagged_not_dropped(built: Home) -> None:
    with Lake.at(built).read() as con:
        flags = con.execute(
            "SELECT transaction_id, is_amount_missing, is_amount_outlier FROM fraud.stg_transactions "
            "WHERE is_amount_missing OR is_amount_outlier ORDER BY ALL"
        ).fetchall()
    assert flags == [(6, True, False), (7, False, True)]


def test_labels_are_known_a_week_later_where_the_source_does_not_say(built: Home) -> None:
    with Lake.at(built).read() as con:
        delays = con.execute("SELECT DISTINCT label_known_at - event_time FROM fraud.spine ORDER BY ALL").fetchall()
        unknown = con.execute("SELECT transaction_id FROM fraud.spine WHERE label_known_at IS NULL").fetchall()
    assert [delay.days for (delay,) in delays if delay is not None] == [7]
    assert unknown == [(5,)]


def test_the_manifest_of_a_build_holds_the_query_that_made_the_table(built: Home) -> None:
    query = FeatureQuery.from_manifest(built.root / "target" / "manifest.json", "fraud")
    with Lake.at(built).read() as con:
        spine = con.execute(f"FROM {query.spine}").to_arrow_table()
        history = {table.table: con.execute(f"FROM {table.table}").to_arrow_table() for table in query.history}
        kept = con.execute(f"FROM {query.table} ORDER BY {query.key}").to_arrow_table()
    again = query.run(spine, history)
    assert again.column_names == kept.column_names
    for left, right in zip(again.to_pylist(), kept.to_pylist(), strict=True):
        assert left == {k: pytest.approx(v) if isinstance(v, float) else v for k, v in right.items()}


def test_dbt_waits_for_another_writer(built: Home) -> None:
    """While somebody else writes, dbt does not even attach; afterwards it goes on by itself."""
    arguments = ["run-operation", "list_schemas", "--args", "{database: lake}"]
    with write_lock(built.locks), pytest.raises(subprocess.TimeoutExpired):
        _impatient(built, arguments, seconds=12)
    assert dbt(built, *arguments).returncode == 0


def _impatient(home: Home, arguments: list[str], seconds: int) -> None:
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(home.root / "other")]
    subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, *where, "--log-path", str(home.root / "logs")],
        cwd=PROJECT,
        env={**os.environ, **home.environment()},
        capture_output=True,
        timeout=seconds,
        check=False,
    )
