import random
import threading
from datetime import UTC, datetime, timedelta

import duckdb
import pandas as pd
import pytest

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake
from mlplatform.lake.maintenance import Maintained, maintain
from mlplatform.lake.tables import append_rows, merge_rows, replace_table

LATER = datetime.now(UTC) + timedelta(days=365)
TABLES = ("fraud.a", "fraud.b")
Contents = dict[str, list[tuple[object, ...]]]


def table(lake: Lake, name: str, snapshot: int | None = None) -> list[tuple[object, ...]]:
    with lake.read(snapshot) as con:
        return con.execute(f"FROM {name} ORDER BY ALL").fetchall()


def tables(lake: Lake, snapshot: int | None = None) -> Contents:
    with lake.read(snapshot) as con:
        return {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


def add(lake: Lake, start: int, rows: int = 20) -> int:
    values = pd.DataFrame({"id": range(start, start + rows), "v": 1.0})
    return lake.commit(lambda con: append_rows(con, "fraud.a", values), "add").snapshot


def write_something(lake: Lake, rng: random.Random) -> int:
    name, low = rng.choice(TABLES), rng.randrange(200)
    ids = rng.sample(range(300), rng.choice([3, 8, 120]))
    rows = pd.DataFrame({"id": ids, "v": [rng.random() for _ in ids]})

    def change(con: duckdb.DuckDBPyConnection) -> None:
        match rng.randrange(5):
            case 0:
                append_rows(con, name, rows)
            case 1:
                replace_table(con, name, rows)
            case 2:
                # A merge needs a target whose key is unique.
                con.execute(f"DELETE FROM {name} WHERE id IN (SELECT id FROM {name} GROUP BY id HAVING count(*) > 1)")
                merge_rows(con, name, rows, ["id"])
            case 3:
                append_rows(con, name, rows)
                con.execute(f"DELETE FROM {name} WHERE id BETWEEN {low} AND {low + 60}")
            case _:
                append_rows(con, name, rows)
                con.execute(f"UPDATE {name} SET v = -v WHERE id BETWEEN {low} AND {low + 60}")

    return lake.commit(change, "something").snapshot


@pytest.mark.parametrize("seed", [1, 2])
def test_kept_snapshots_read_the_same_rows_after_any_writes_and_maintenances(lake: Lake, seed: int) -> None:
    rng = random.Random(seed)
    lake.commit(lambda con: [replace_table(con, name, pd.DataFrame({"id": [0], "v": [0.0]})) for name in TABLES], "a")
    seen: dict[int, Contents] = {}
    kept: set[int] = set()
    for _ in range(3):
        for _ in range(4):
            snapshot = write_something(lake, rng)
            seen[snapshot] = tables(lake)
            if rng.random() < 0.5:
                kept.add(snapshot)
        maintain(lake, kept, LATER, grace_hours=0)
        assert tables(lake) == seen[max(seen)]
        assert {n: tables(lake, n) for n in kept} == {n: seen[n] for n in kept}


def test_an_expired_snapshot_is_refused_with_the_reason_and_a_kept_one_is_read(lake: Lake) -> None:
    first, kept, _ = (add(lake, start) for start in (0, 20, 40))
    done = maintain(lake, {kept}, LATER)
    assert first in done.snapshots_expired
    assert kept not in done.snapshots_expired
    assert len(table(lake, "fraud.a", kept)) == 40
    assert len(table(lake, "fraud.a")) == 60
    with pytest.raises(LakeError, match=f"no snapshot {first}: it never had it, or maintenance has expired it"):
        table(lake, "fraud.a", first)
    with lake.read() as con:
        at = con.execute(f"SELECT count(*) FROM fraud.a AT (VERSION => {kept})").fetchone()
    assert at == (40,)


def test_young_snapshots_stay_readable_though_nobody_asked_for_them(lake: Lake) -> None:
    first = add(lake, 0)
    add(lake, 20)
    assert maintain(lake, set(), datetime.now(UTC), keep_days=1).snapshots_expired == ()
    assert len(table(lake, "fraud.a", first)) == 20


def test_small_files_become_one_and_inlined_rows_become_a_file(lake: Lake) -> None:
    for start in range(0, 100, 20):
        add(lake, start)
    add(lake, 100, rows=3)
    done = maintain(lake, set(), LATER, grace_hours=0)
    assert (done.rows_flushed, done.files_merged) == (3, 6)
    assert done.files_removed >= 6
    assert done.bytes_after < done.bytes_before
    assert len(list(lake.data.rglob("*.parquet"))) == 1
    assert len(table(lake, "fraud.a")) == 103


def test_files_of_expired_snapshots_stay_for_the_grace(lake: Lake) -> None:
    for start in (0, 20, 40):
        add(lake, start)
    files = set(lake.data.rglob("*.parquet"))
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert maintain(lake, set(), soon, keep_days=0, grace_hours=24).files_removed == 0
    assert files <= set(lake.data.rglob("*.parquet"))


def test_a_reading_that_began_before_maintenance_goes_on_and_sees_what_it_saw(lake: Lake) -> None:
    for start in (0, 20, 40):
        add(lake, start)
    with lake.read() as con:
        before = con.execute("FROM fraud.a ORDER BY ALL").fetchall()
        maintain(lake, set(), datetime.now(UTC), keep_days=0, grace_hours=1)
        add(lake, 60)
        assert con.execute("FROM fraud.a ORDER BY ALL").fetchall() == before


def test_a_file_that_a_killed_writer_left_is_removed_after_the_grace(lake: Lake) -> None:
    add(lake, 0)
    orphan = lake.data / "fraud" / "a" / "ducklake-left-behind.parquet"
    orphan.write_bytes(b"half a file")
    assert maintain(lake, set(), datetime.now(UTC), grace_hours=1).files_removed == 0
    assert orphan.exists()
    maintain(lake, set(), LATER)
    assert not orphan.exists()


def test_two_maintenances_and_a_writer_at_once_lose_nothing(lake: Lake) -> None:
    kept = add(lake, 0)
    done: list[Maintained] = []

    def work() -> None:
        done.append(maintain(lake, {kept}, LATER, grace_hours=0))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(20, 120, 20):
        add(lake, start)
    for thread in threads:
        thread.join()
    assert len(done) == 2
    expired = [snapshot for one in done for snapshot in one.snapshots_expired]
    assert len(expired) == len(set(expired))
    assert len(table(lake, "fraud.a")) == 120
    assert len(table(lake, "fraud.a", kept)) == 20


def test_a_kept_snapshot_that_is_not_there_is_reported(lake: Lake) -> None:
    assert maintain(lake, {4711}, LATER).snapshots_missing == (4711,)


def test_a_time_without_a_zone_is_refused(lake: Lake) -> None:
    with pytest.raises(LakeError, match="time zone"):
        maintain(lake, set(), datetime(2026, 1, 1))
