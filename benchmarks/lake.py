"""Many processes write and read at once: is anything lost, doubled, or refused, and how fast is it?

Five writers (three append, one merges by key, one replaces a table) and three readers (one takes a snapshot and checks
that it never changes) use one lake for a minute. Each writer notes what it was told is committed; afterwards every row
of it is compared with the tables. The peers get the same work for a shorter time: one `.duckdb` file, and DuckLake on
SQLite as documented (no write lock, no WAL). The merge is one MERGE in all three.

    python -m benchmarks.lake [--json] [--seconds 60] [--processes 8]
"""

import argparse
import json
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from benchmarks._lake_stores import STORES, Store
from benchmarks._lake_workers import Told, append, check_snapshot, meet_at, merge, read, replace, run_worker

PEER_SECONDS = 15.0


@dataclass(frozen=True)
class Outcome:
    """One store under the workload. `errors`: calls that failed in a writer's or reader's hands."""

    store: str
    lost: int
    doubled: int
    errors: int
    inconsistent: int
    commits_per_s: float
    reads_per_s: float
    slowest_commit_s: float


def roles(processes: int) -> list[Callable[..., None]]:
    """5 writers to 3 readers, whatever the number: one writer merges, one replaces, one reader checks snapshots."""
    writers = max(3, round(processes * 5 / 8))
    readers = max(1, processes - writers)
    return [merge, replace, *[append] * (writers - 2), check_snapshot, *[read] * (readers - 1)]


def measure(name: str, store: type[Store], folder: Path, seconds: float, processes: int) -> Outcome:
    """Run the workload in real processes, then count what is in the tables against what the writers were told."""
    work = roles(processes)
    opened = store(folder)
    opened.prepare()
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(len(work), meet_at, (spawn.Barrier(len(work)),), maxtasksperchild=1) as pool:
        told = pool.starmap(run_worker, [(role, store, folder, n, seconds) for n, role in enumerate(work)], chunksize=1)
    lost, doubled = compare(opened, told)
    return Outcome(
        store=name,
        lost=lost,
        doubled=doubled,
        errors=sum(t.errors for t in told),
        inconsistent=sum(t.inconsistent for t in told),
        commits_per_s=round(sum(t.commits / t.seconds for t in told), 1),
        reads_per_s=round(sum(t.reads / t.seconds for t in told), 1),
        slowest_commit_s=round(max(t.slowest_commit_s for t in told), 2),
    )


def compare(store: Store, told: list[Told]) -> tuple[int, int]:
    """Rows (lost, doubled): told committed but not there; there more often than told, or never told."""
    lost = doubled = 0
    for table in ("appended", "merged", "replaced"):
        expected: Counter[tuple[int, ...]] = Counter()
        for one in told:
            expected.update(one.rows.get(table, []))
        found = Counter(store.rows(table))
        lost += (expected - found).total()
        doubled += (found - expected).total()
    return lost, doubled


def line(values: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, values)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the lake's figures as one JSON object at the end")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=8)
    given = parser.parse_args()
    columns = list(Outcome.__dataclass_fields__)
    print(line(columns), line("---" for _ in columns), sep="\n", flush=True)
    outcomes = []
    for number, (name, store) in enumerate(STORES.items()):
        seconds = given.seconds if number == 0 else min(given.seconds, PEER_SECONDS)
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(measure(name, store, Path(folder), seconds, given.processes))
        print(line(astuple(outcomes[-1])), flush=True)
    if given.json:
        ours = outcomes[0]
        names = ("lost", "doubled", "errors", "commits_per_s", "reads_per_s", "inconsistent", "slowest_commit_s")
        print(json.dumps({name: getattr(ours, name) for name in names}))


if __name__ == "__main__":
    main()
