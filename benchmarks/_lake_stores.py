"""The three stores that benchmarks/lake.py compares, behind the four calls that the workload needs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb
import pandas as pd

from mlplatform.home import Home
from mlplatform.lake.engine import engine
from mlplatform.lake.lake import Lake

Connection = duckdb.DuckDBPyConnection
Work = Callable[[Connection], object]

# Columns of all three tables; (writer, number) is unique.
COLUMNS = ("writer", "number", "value")
TABLES = ("appended", "merged", "replaced")


class Store(Protocol):
    """A place that several processes write to and read from."""

    snapshots: bool
    """Whether an earlier state can be read again."""

    def __init__(self, folder: Path) -> None: ...

    def commit(self, work: Work) -> int:
        """Run `work` in one transaction; returns its snapshot (0 where there are none)."""

    def read(self, snapshot: int | None = None) -> AbstractContextManager[Connection]:
        """A connection to read from."""

    def prepare(self) -> None:
        """Create the tables."""

    def warm_up(self) -> None:
        """What a process pays once."""

    def rows(self, table: str) -> list[tuple[int, ...]]:
        """All rows of a table."""


class _Tables:
    """What the stores share."""

    def prepare(self: Store) -> None:
        columns = ", ".join(f"{name} BIGINT" for name in COLUMNS)
        self.commit(lambda con: [con.execute(f"CREATE TABLE {table} ({columns})") for table in TABLES])

    def warm_up(self) -> None:
        with engine():
            pass

    def rows(self: Store, table: str) -> list[tuple[int, ...]]:
        with self.read() as con:
            rows: list[tuple[int, ...]] = con.execute(f"SELECT {', '.join(COLUMNS)} FROM {table}").fetchall()
            return rows


class OurLake(_Tables):
    """mlplatform's lake."""

    snapshots = True

    def __init__(self, folder: Path) -> None:
        self._lake = Lake.at(Home(folder))

    def commit(self, work: Work) -> int:
        return self._lake.commit(work, "benchmark").snapshot

    @contextmanager
    def read(self, snapshot: int | None = None) -> Iterator[Connection]:
        with self._lake.read(snapshot) as con:
            yield con


class PlainDuckLake(_Tables):
    """DuckLake on a SQLite catalog as documented: no lock of ours, SQLite's default journal."""

    snapshots = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def commit(self, work: Work) -> int:
        with self._attached("") as con:
            con.execute("BEGIN")
            work(con)
            con.execute("COMMIT")
            return int((con.execute("FROM ducklake_last_committed_snapshot('lake')").fetchone() or (0,))[0] or 0)

    @contextmanager
    def read(self, snapshot: int | None = None) -> Iterator[Connection]:
        with self._attached("READ_ONLY" + (f", SNAPSHOT_VERSION {snapshot}" if snapshot else "")) as con:
            yield con

    @contextmanager
    def _attached(self, options: str) -> Iterator[Connection]:
        place = f"DATA_PATH '{self._folder / 'data'}'"
        with engine() as con:
            con.execute(
                f"ATTACH 'ducklake:sqlite:{self._folder / 'plain.sqlite'}' AS lake "
                f"({', '.join(filter(None, [place, options]))})"
            )
            con.execute("USE lake")
            yield con


class DuckDBFile(_Tables):
    """One `.duckdb` file, opened for each transaction, as several processes must."""

    snapshots = False

    def __init__(self, folder: Path) -> None:
        self._path = folder / "one.duckdb"

    def commit(self, work: Work) -> int:
        with duckdb.connect(self._path) as con:
            con.execute("BEGIN")
            work(con)
            con.execute("COMMIT")
        return 0

    @contextmanager
    def read(self, snapshot: int | None = None) -> Iterator[Connection]:  # noqa: ARG002 - it has none
        with duckdb.connect(self._path, read_only=True) as con:
            yield con


STORES: dict[str, type[Store]] = {
    "mlplatform": OurLake,
    "DuckLake on SQLite": PlainDuckLake,
    "one .duckdb file": DuckDBFile,
}


def frame(rows: list[tuple[int, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="int64")
