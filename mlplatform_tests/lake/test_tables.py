import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows, describe_table, merge_rows, replace_table

ROWS = pd.DataFrame({"id": [1, 2], "amount": [10.0, 20.0]})


def contents(lake: Lake, table: str, snapshot: int | None = None) -> list[tuple[object, ...]]:
    with lake.read(snapshot) as con:
        return con.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


def test_an_earlier_snapshot_still_shows_what_a_replaced_table_held(lake: Lake) -> None:
    first = lake.commit(lambda con: replace_table(con, "fraud.a", ROWS), "first")
    lake.commit(lambda con: replace_table(con, "fraud.a", ROWS.assign(amount=0.0)), "second")
    assert contents(lake, "fraud.a") == [(1, 0.0), (2, 0.0)]
    assert contents(lake, "fraud.a", first.snapshot) == [(1, 10.0), (2, 20.0)]


def test_rows_are_written_by_name_whatever_their_order(lake: Lake) -> None:
    lake.commit(lambda con: replace_table(con, "fraud.a", ROWS), "first")
    lake.commit(lambda con: append_rows(con, "fraud.a", pd.DataFrame({"amount": [30.0], "id": [3]})), "more")
    assert contents(lake, "fraud.a") == [(1, 10.0), (2, 20.0), (3, 30.0)]


def test_an_unknown_column_is_refused_with_the_known_ones(lake: Lake) -> None:
    lake.commit(lambda con: replace_table(con, "fraud.a", ROWS), "first")
    with pytest.raises(LakeError, match="no column colour; it has id, amount"):
        lake.commit(lambda con: append_rows(con, "fraud.a", ROWS.assign(colour="red")), "bad")
    assert contents(lake, "fraud.a") == [(1, 10.0), (2, 20.0)]


def test_a_transaction_that_fails_leaves_nothing_behind(lake: Lake) -> None:
    def half(con: duckdb.DuckDBPyConnection) -> None:
        replace_table(con, "fraud.a", ROWS)
        con.execute("SELECT * FROM fraud.not_there")

    with pytest.raises(duckdb.CatalogException):
        lake.commit(half, "half")
    assert not lake.has_table("fraud.a")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.integers(0, 5), st.floats(0, 10), max_size=5), min_size=1, max_size=4))
def test_merging_batches_in_any_form_equals_a_dict_update(lake: Lake, batches: list[dict[int, float]]) -> None:
    lake.commit(lambda con: con.execute("DROP TABLE IF EXISTS fraud.m"), "start over")
    expected: dict[int, float] = {}
    for batch in batches:
        rows = pd.DataFrame({"id": list(batch), "amount": list(batch.values())}).astype(
            {"id": "int64", "amount": "float64"}
        )
        lake.commit(lambda con, rows=rows: merge_rows(con, "fraud.m", rows, ["id"]), "batch")  # type: ignore[misc]
        expected |= batch
    assert contents(lake, "fraud.m") == sorted(expected.items())


def test_merging_the_same_rows_again_touches_none(lake: Lake) -> None:
    rows = ROWS.assign(_loaded_at=pd.Timestamp("2018-04-01"))
    assert lake.commit(lambda con: merge_rows(con, "fraud.m", rows, ["id"]), "once").value == 2
    again = rows.assign(_loaded_at=pd.Timestamp("2018-04-02"))
    assert lake.commit(lambda con: merge_rows(con, "fraud.m", again, ["id"]), "twice").value == 0


def test_a_table_is_described_with_rows_types_bytes_and_snapshot(lake: Lake) -> None:
    many = pd.DataFrame({"id": range(1000)})
    done = lake.commit(lambda con: replace_table(con, "fraud.a", many), "first")
    info = describe_table(lake, "fraud.a", done.snapshot)
    assert (info.rows, info.columns, info.snapshot) == (1000, {"id": "BIGINT"}, done.snapshot)
    assert info.bytes > 0


def test_describing_a_missing_table_names_it(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"no table fraud\.nothing"):
        describe_table(lake, "fraud.nothing")
