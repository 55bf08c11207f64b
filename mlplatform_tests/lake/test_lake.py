import shutil
from pathlib import Path

import duckdb
import pytest

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake


def numbers(con: duckdb.DuckDBPyConnection, table: str = "t") -> list[int]:
    return [n for (n,) in con.execute(f"SELECT i FROM {table} ORDER BY i").fetchall()]


def make(lake: Lake, sql: str) -> int:
    return lake.commit(lambda con: con.execute(sql) and None, "test").snapshot


def test_a_missing_lake_says_how_to_make_one(home: Home) -> None:
    with (
        pytest.raises(LakeError, match=r"there is no lake at .*catalog\.sqlite; run `make setup`"),
        Lake.at(home).read(),
    ):
        pass
    assert not Lake.at(home).has_table("a.b")
    assert not home.lake_catalog.exists()


def test_a_damaged_catalog_is_an_error_that_says_what_to_do_when_reading_and_when_writing(lake: Lake) -> None:
    lake.catalog.write_bytes(b"no database at all" * 500)
    message = r"cannot be opened: .*not a database.* restore it .* or move both away and run `mlplatform run`"
    with pytest.raises(LakeError, match=message), lake.read():
        pass
    with pytest.raises(LakeError, match=message):
        make(lake, "CREATE TABLE t (i INT)")


def test_all_queries_of_one_reading_see_one_snapshot(lake: Lake) -> None:
    make(lake, "CREATE TABLE t AS SELECT 1 AS i")
    with lake.read() as con:
        assert numbers(con) == [1]
        make(lake, "INSERT INTO t VALUES (2)")
        assert numbers(con) == [1]
    with lake.read() as con:
        assert numbers(con) == [1, 2]


def test_a_reader_cannot_write(lake: Lake) -> None:
    with pytest.raises(duckdb.Error, match="read-only"), lake.read() as con:
        con.execute("CREATE TABLE lake.t (i INT)")


def test_a_snapshot_that_never_was_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match="no snapshot 4711"), lake.read(4711):
        pass


def test_the_snapshot_of_a_commit_is_its_own_or_the_newest_if_it_changed_nothing(lake: Lake) -> None:
    made = make(lake, "CREATE TABLE t AS SELECT 1 AS i")
    assert made == lake.snapshot()
    assert lake.commit(lambda con: None, "nothing").snapshot == made
    assert make(lake, "INSERT INTO t VALUES (2)") == made + 1


def test_a_collision_is_tried_again_and_the_work_is_done_once(lake: Lake) -> None:
    tries: list[int] = []

    def work(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE t AS SELECT 1 AS i")
        tries.append(1)
        if len(tries) < 3:
            raise duckdb.TransactionException("Transaction conflict: another tool was faster")

    lake.commit(work, "collides twice")
    assert len(tries) == 3
    with lake.read() as con:
        assert numbers(con) == [1]


def test_an_error_of_the_work_itself_is_not_tried_again(lake: Lake) -> None:
    tries: list[int] = []

    def work(con: duckdb.DuckDBPyConnection) -> None:
        tries.append(1)
        con.execute("SELECT * FROM not_there")

    with pytest.raises(duckdb.CatalogException):
        lake.commit(work, "wrong")
    assert len(tries) == 1


def test_a_cursor_left_open_by_the_work_does_not_undo_or_repeat_the_commit(lake: Lake) -> None:
    left: list[duckdb.DuckDBPyConnection] = []

    def work(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("CREATE TABLE t AS SELECT 1 AS i")
        left.append(con.cursor())

    lake.commit(work, "leaves a cursor")
    with lake.read() as con:
        assert numbers(con) == [1]


@pytest.mark.parametrize("name", ["it's", 'say "hi"', "semi;colon --", "ünï 空"])
def test_any_folder_name_works(tmp_path: Path, name: str) -> None:
    lake = Lake.at(Home(tmp_path / name))
    make(lake, "CREATE TABLE t AS SELECT i FROM range(100) AS r(i)")
    with lake.read() as con:
        assert len(numbers(con)) == 100


def test_a_home_that_was_moved_is_read_and_written_where_it_is_now(home: Home, lake: Lake, tmp_path: Path) -> None:
    make(lake, "CREATE TABLE t AS SELECT i FROM range(100) AS r(i)")
    shutil.move(home.root, tmp_path / "moved")
    moved = Lake.at(Home(tmp_path / "moved"))
    make(moved, "INSERT INTO t SELECT i FROM range(100, 200) AS r(i)")
    with moved.read() as con:
        assert numbers(con) == list(range(200))
    assert not home.root.exists()
