import pandas as pd
import pytest

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake
from mlplatform.lake.restore import restore_tables
from mlplatform.lake.tables import replace_table


def write(lake: Lake, table: str, **columns: list[object]) -> int:
    return lake.commit(lambda con: replace_table(con, table, pd.DataFrame(columns)), table).snapshot


def rows(lake: Lake, table: str, snapshot: int | None = None) -> list[tuple[object, ...]]:
    with lake.read(snapshot) as con:
        return con.execute(f"FROM {table} ORDER BY ALL").fetchall()


def test_tables_hold_again_what_they_held_and_history_stays(lake: Lake) -> None:
    write(lake, "shop.a", x=[1, 2])
    good = write(lake, "shop.b", x=[3])
    write(lake, "shop.a", x=[9])
    bad = write(lake, "shop.b", x=[9, 9])
    restored = restore_tables(lake, ["shop.a", "shop.b"], good, "put back")
    assert restored > bad
    assert rows(lake, "shop.a") == [(1,), (2,)]
    assert rows(lake, "shop.b") == [(3,)]
    assert rows(lake, "shop.b", bad) == [(9,), (9,)]


def test_a_table_of_other_columns_gets_its_old_ones_back(lake: Lake) -> None:
    good = write(lake, "shop.a", x=[1], y=["one"])
    write(lake, "shop.a", x=[1.5])
    restore_tables(lake, ["shop.a"], good, "put back")
    assert rows(lake, "shop.a") == [(1, "one")]


def test_a_snapshot_that_is_not_there_is_named_and_nothing_changes(lake: Lake) -> None:
    write(lake, "shop.a", x=[1])
    with pytest.raises(LakeError, match="no snapshot 999"):
        restore_tables(lake, ["shop.a"], 999, "put back")
    assert rows(lake, "shop.a") == [(1,)]
