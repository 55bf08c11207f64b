"""One SQL, two clocks: the compiled text gives a request what training would have given it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlplatform.errors import LakeError, LeakageError
from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.leakage import check_leakage
from mlplatform.lake.tables import replace_table
from mlplatform.resources.dbt import compile_features
from mlplatform_tests.lake.feature_history import START, transactions

HISTORY = "fraud.stg_transactions"
AS_OF = datetime(2018, 6, 1)


@pytest.fixture(scope="session")
def query(tmp_path_factory: pytest.TempPathFactory) -> FeatureQuery:
    return compile_features(Home(tmp_path_factory.mktemp("compiled")), "fraud")


def rows_of(table: pa.Table) -> dict[Any, dict[str, Any]]:
    return {row["transaction_id"]: row for row in table.to_pylist()}


def assert_same(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    for name, value in left.items():
        assert right[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name


def test_a_request_that_is_not_in_the_history_gets_the_values_of_training(query: FeatureQuery) -> None:
    table = transactions()
    trained = rows_of(query.run(table, {HISTORY: table}))
    for position in (700, 1500, 2999):
        request = table.slice(position, 1)
        moment = request["event_time"][0].as_py()
        past = table.slice(0, position).filter(pc.less(table.slice(0, position)["event_time"], moment))
        blank = request.set_column(5, "label", pa.nulls(1, pa.int8())).set_column(
            6, "label_known_at", pa.nulls(1, pa.timestamp("us"))
        )
        assert_same(trained[position], rows_of(query.run(blank, {HISTORY: past}))[position])


def test_history_older_than_the_look_back_changes_nothing(query: FeatureQuery) -> None:
    table = transactions()
    request = table.slice(2990, 1)
    first = request["event_time"][0].as_py() - timedelta(days=query.history[0].lookback_days)
    recent = table.filter(pc.greater_equal(table["event_time"], first))
    assert recent.num_rows < table.num_rows
    assert_same(
        rows_of(query.run(request, {HISTORY: table}))[2990], rows_of(query.run(request, {HISTORY: recent}))[2990]
    )


def test_windows_hold_what_plain_python_counts(query: FeatureQuery) -> None:
    table = transactions()
    features = rows_of(query.run(table, {HISTORY: table}))
    rows = table.to_pylist()
    for position in (40, 900, 2500):
        row = rows[position]
        now = row["event_time"]
        week = [r for r in rows if now - timedelta(days=7) <= r["event_time"] < now]
        mine = [r["amount"] for r in week if r["customer_id"] == row["customer_id"]]
        known = [
            r["label"]
            for r in rows
            if r["terminal_id"] == row["terminal_id"]
            and now - timedelta(days=7) < r["label_known_at"] <= now
            and r["event_time"] < now
        ]
        got = features[position]
        assert got["customer_count_7d"] == len(mine)
        assert got["customer_mean_amount_7d"] == (pytest.approx(math.fsum(mine) / len(mine)) if mine else None)
        assert got["terminal_count_7d"] == sum(r["terminal_id"] == row["terminal_id"] for r in week)
        assert got["terminal_risk_7d"] == pytest.approx(sum(known) / max(len(known), 1))


def test_a_label_counts_only_once_it_is_known(query: FeatureQuery) -> None:
    table = transactions(delay_days=1000)
    assert set(query.run(table, {HISTORY: table})["terminal_known_frauds_30d"].to_pylist()) == {0}


def test_a_saved_query_is_the_same_query(query: FeatureQuery, tmp_path: Path) -> None:
    query.save(tmp_path / "features.json")
    assert FeatureQuery.load(tmp_path / "features.json") == query


def test_a_manifest_that_was_only_parsed_is_refused() -> None:
    node = {"name": "fraud_features", "resource_type": "model", "config": {"meta": {}}}
    with pytest.raises(LakeError, match="not compiled"):
        FeatureQuery.from_manifest({"nodes": {"model.fraud_features": node}}, "fraud")


def test_a_missing_history_is_named(query: FeatureQuery) -> None:
    with pytest.raises(LakeError, match=r"fraud\.stg_transactions"):
        query.run(transactions(10), {})


def fill(lake: Lake, query: FeatureQuery, table: pa.Table) -> None:
    """Materialise the features as dbt does: the text over the tables of the lake."""

    def work(con: Any) -> None:
        replace_table(con, HISTORY, table)
        replace_table(con, query.spine, table)
        con.execute(f"CREATE TABLE {query.table} AS {query.sql}")

    lake.commit(work, "fill")


def test_honest_features_are_rebuilt_exactly(lake: Lake, query: FeatureQuery) -> None:
    fill(lake, query, transactions())
    report = check_leakage(query, lake, AS_OF, rows=6, seed=1)
    assert report.passed, report.differences
    assert report.rows > 0
    assert "terminal_risk_7d" in report.columns


LEAKS = {
    "a mean over all rows": "SELECT avg(amount) FROM lake.fraud.stg_transactions",
    "frauds at the terminal, known or not": (
        "SELECT sum(label) FROM lake.fraud.stg_transactions h "
        "WHERE h.terminal_id = s.terminal_id AND h.event_time <= s.event_time"
    ),
    "the customer's transactions to come": (
        "SELECT count(*) FROM lake.fraud.stg_transactions h "
        "WHERE h.customer_id = s.customer_id AND h.event_time > s.event_time"
    ),
    "the label itself": "SELECT s.label",
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_a_feature_that_looks_ahead_is_caught(lake: Lake, query: FeatureQuery, leak: str) -> None:
    text = (
        f"SELECT f.*, l.leak FROM ({query.sql}) f "
        f"JOIN (SELECT transaction_id, ({leak}) AS leak FROM lake.fraud.spine s) l USING (transaction_id)"
    )
    leaking = replace(query, sql=text)
    fill(lake, leaking, transactions())
    assert check_leakage(leaking, lake, AS_OF, rows=6, seed=1).leaking == ("leak",)


def test_a_look_back_shorter_than_the_features_is_refused(lake: Lake, query: FeatureQuery) -> None:
    with pytest.raises(LeakageError, match=r"look back 45 days"):
        check_leakage(query, lake, AS_OF, rows=3, seed=1, lookback_days=30)


def test_an_empty_lake_cannot_be_checked(lake: Lake, query: FeatureQuery) -> None:
    fill(lake, query, transactions(50))
    with pytest.raises(LeakageError, match="no rows"):
        check_leakage(query, lake, START - timedelta(days=1), rows=3, seed=1)
