"""Bad rows of any contract fit one table, and come into it once."""

import json
from datetime import datetime
from typing import Any

import pyarrow as pa

from mlplatform.contracts.quarantine import QUARANTINE_KEY, quarantine_rows
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import merge_rows
from mlplatform_tests.contracts.conftest import check, rows

AT = datetime(2018, 4, 2, 12)


def set_aside(bad: pa.Table, batch: str = "2018-04-01", source: str = "transactions") -> pa.Table:
    return quarantine_rows(bad, use_case="fraud", source=source, batch=batch, loaded_at=AT)


def test_a_row_is_kept_as_json_with_where_it_came_from(transactions: type[Any]) -> None:
    batch = rows()
    batch.loc[2, "amount"] = 'é "x"'
    (row,) = set_aside(check(transactions, batch).bad).to_pylist()
    assert json.loads(row.pop("row")) == batch.loc[2].to_dict()
    assert len(row.pop("quarantine_id")) == 32
    assert row == {
        "use_case": "fraud",
        "source": "transactions",
        "batch": "2018-04-01",
        "_reason": "amount 'é \"x\"' is not a finite number",
        "_loaded_at": AT,
    }


def test_the_same_row_has_the_same_id_in_any_batch_but_not_in_another_source(transactions: type[Any]) -> None:
    batch = rows()
    batch.loc[2, "amount"] = "x"
    bad = check(transactions, batch).bad
    assert set_aside(bad)["quarantine_id"] == set_aside(bad, batch="2018-04-02")["quarantine_id"]
    assert set_aside(bad)["quarantine_id"] != set_aside(bad, source="cards")["quarantine_id"]


def test_equal_bad_rows_are_counted_apart(transactions: type[Any]) -> None:
    batch = rows()
    batch.loc[[2, 3]] = [[None, "x", None, None, None, None]] * 2
    assert len(set(set_aside(check(transactions, batch).bad)["quarantine_id"].to_pylist())) == 2


def test_nothing_bad_gives_an_empty_table_of_the_same_columns(transactions: type[Any]) -> None:
    empty = set_aside(check(transactions, rows()).bad)
    assert len(empty) == 0
    batch = rows()
    batch.loc[2, "amount"] = "x"
    assert empty.schema == set_aside(check(transactions, batch).bad).schema


def test_a_second_run_neither_doubles_good_rows_nor_bad_ones(lake: Lake, transactions: type[Any]) -> None:
    batch = rows()
    batch.loc[2, "amount"] = "x"
    for _ in range(2):
        checked = check(transactions, batch)

        def work(con: Any, checked: Any = checked) -> None:
            merge_rows(con, "raw_fraud.transactions", checked.good, ["transaction_id"])
            merge_rows(con, "fraud.quarantine", set_aside(checked.bad), QUARANTINE_KEY)

        lake.commit(work, "ingest")
    with lake.read() as con:
        counts = con.execute(
            "SELECT (SELECT count(*) FROM raw_fraud.transactions), (SELECT count(*) FROM fraud.quarantine)"
        ).fetchone()
    assert counts == (5, 1)
