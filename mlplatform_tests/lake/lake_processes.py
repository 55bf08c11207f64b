"""What the other processes of the concurrency tests do."""

import os
import time
from pathlib import Path

import duckdb
import pandas as pd

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows, merge_rows


def add_rows(root: Path, writer: int, commits: int) -> None:
    """Append three rows and merge one counter, `commits` times."""
    lake = Lake.at(Home(root))
    lake.create()
    for n in range(commits):
        rows = pd.DataFrame({"writer": writer, "n": [3 * n, 3 * n + 1, 3 * n + 2]})
        counter = pd.DataFrame({"writer": [writer], "n": [n]})

        def work(con: duckdb.DuckDBPyConnection, rows: pd.DataFrame = rows, counter: pd.DataFrame = counter) -> None:
            append_rows(con, "fraud.a", rows)
            merge_rows(con, "fraud.latest", counter, ["writer"])

        lake.commit(work, "add")


def read_whole_commits(root: Path, until: Path) -> None:
    """Fail if a commit (three rows and their counter) is ever seen in part."""
    lake = Lake.at(Home(root))
    while not until.exists():
        with lake.read() as con:
            rows = con.execute("SELECT writer, count(*), max(n) FROM fraud.a GROUP BY writer").fetchall()
            latest = dict(con.execute("SELECT writer, n FROM fraud.latest").fetchall())
        assert all(count % 3 == 0 and top == count - 1 and latest[w] == count // 3 - 1 for w, count, top in rows)


def write_and_wait(root: Path, started: Path) -> None:
    """Write most of a transaction, say so, and never commit."""

    def work(con: duckdb.DuckDBPyConnection) -> None:
        append_rows(con, "fraud.a", pd.DataFrame({"writer": 99, "n": range(5000)}))
        started.write_text(str(os.getpid()))
        time.sleep(120)

    Lake.at(Home(root)).commit(work, "never done")


def create_at(root: Path, moment: float) -> None:
    """Create the lake at the very moment that others do, and use it at once."""
    time.sleep(max(0.0, moment - time.time()))
    lake = Lake.at(Home(root))
    lake.create()
    assert lake.snapshot() == 0
