"""A lake that stays attached over several commits of one run."""

import pyarrow as pa
import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows, columns_of, merge_rows
from mlplatform.lake.writer import writer


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": list(ids)})


def stored(lake: Lake) -> list[int]:
    with lake.read() as con:
        return [number for (number,) in con.execute("SELECT id FROM a.t ORDER BY id").fetchall()]


def test_a_commit_sees_what_others_have_committed_since_the_last_one(home: Home) -> None:
    lake = Lake.at(home)
    with writer(lake) as kept:
        kept.commit(lambda con: append_rows(con, "a.t", rows(1)), "first")
        lake.commit(lambda con: append_rows(con, "a.t", rows(2)), "another one's")
        lake.commit(lambda con: con.execute("ALTER TABLE a.t ADD COLUMN name VARCHAR"), "another one's")
        assert list(kept.commit(lambda con: columns_of(con, "a.t"), "look").value) == ["id", "name"]
        assert kept.commit(lambda con: merge_rows(con, "a.t", rows(1, 2, 3), ["id"]), "merge").value == 1
    assert stored(lake) == [1, 2, 3]


def test_others_write_between_two_commits_and_a_failed_one_leaves_nothing_behind(home: Home) -> None:
    lake = Lake.at(home)

    def fails(con: object) -> None:
        append_rows(con, "a.t", rows(7))  # type: ignore[arg-type]
        raise ValueError("no")

    with writer(lake) as kept:
        kept.commit(lambda con: append_rows(con, "a.t", rows(1)), "first")
        with pytest.raises(ValueError, match="no"):
            kept.commit(fails, "fails")
        lake.commit(lambda con: append_rows(con, "a.t", rows(2)), "another one's")
        kept.commit(lambda con: append_rows(con, "a.t", rows(3)), "goes on")
    assert stored(lake) == [1, 2, 3]
