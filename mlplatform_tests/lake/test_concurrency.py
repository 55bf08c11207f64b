"""Real processes on one lake."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pandas as pd
import pytest

from mlplatform.errors import LakeBusyError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform_tests.lake import lake_processes as others

SPAWN = get_context("spawn")
PATIENCE = 60.0


def start(work: Callable[..., None], *arguments: object) -> SpawnProcess:
    process = SPAWN.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def ended_well(*processes: SpawnProcess) -> bool:
    for process in processes:
        process.join(PATIENCE)
    return [process.exitcode for process in processes] == [0] * len(processes)


def wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


@pytest.fixture
def held(home: Home, lake: Lake, tmp_path: Path) -> Iterator[SpawnProcess]:
    """A process in the middle of a long transaction on `fraud.a`, which had one row."""
    lake.commit(lambda con: append_rows(con, "fraud.a", pd.DataFrame({"writer": [0], "n": [0]})), "one row")
    process = start(others.write_and_wait, home.root, tmp_path / "started")
    wait_for(tmp_path / "started")
    yield process
    process.kill()
    process.join()


def rows_of(lake: Lake) -> list[tuple[int, int]]:
    with lake.read() as con:
        return con.execute("SELECT writer, n FROM fraud.a ORDER BY ALL").fetchall()


def test_writers_and_readers_at_once_lose_nothing_and_see_only_whole_commits(home: Home, tmp_path: Path) -> None:
    others.add_rows(home.root, 0, 1)
    reader = start(others.read_whole_commits, home.root, tmp_path / "done")
    writers = [start(others.add_rows, home.root, writer, 6) for writer in (1, 2, 3)]
    assert ended_well(*writers)
    (tmp_path / "done").touch()
    assert ended_well(reader)
    expected = [(0, n) for n in range(3)] + [(w, n) for w in (1, 2, 3) for n in range(18)]
    assert rows_of(Lake.at(home)) == expected


def test_a_killed_writer_frees_the_lock_and_leaves_nothing_half_written(held: SpawnProcess, lake: Lake) -> None:
    before = lake.snapshot()
    assert held.pid is not None
    os.kill(held.pid, signal.SIGKILL)
    held.join()
    assert (lake.snapshot(), rows_of(lake)) == (before, [(0, 0)])
    quick = replace(lake, write_timeout=5.0)
    done = quick.commit(lambda con: append_rows(con, "fraud.a", pd.DataFrame({"writer": [1], "n": [1]})), "next")
    assert done.snapshot == before + 1
    assert rows_of(lake) == [(0, 0), (1, 1)]


def test_while_one_writes_readers_see_the_old_rows_and_other_writers_a_clear_error(
    held: SpawnProcess, lake: Lake
) -> None:
    assert rows_of(lake) == [(0, 0)]
    with pytest.raises(LakeBusyError, match=r"writing to the lake for 0 s \(lock .*lake\.lock\); wait for it"):
        replace(lake, write_timeout=0.2).commit(lambda con: None, "too late")
    assert held.is_alive()


def test_several_processes_may_create_one_lake_at_the_same_moment(home: Home) -> None:
    moment = time.time() + 4.0
    assert ended_well(*(start(others.create_at, home.root, moment) for _ in range(3)))


def test_a_catalog_whose_making_was_interrupted_is_made_anew(home: Home) -> None:
    home.lake_catalog.parent.mkdir(parents=True)
    home.lake_catalog.with_name("catalog.sqlite.new").write_bytes(b"half a catalog")
    lake = Lake.at(home)
    lake.create()
    assert lake.snapshot() == 0
