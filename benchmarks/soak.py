"""A service under mixed load on a bad day: hot swaps, invalid bodies, a full disk, a lake that is away for a while.

`python -m benchmarks.soak [--json] [--minutes 10]`. The disk is a small tmpfs over the journal, which takes root; where
that is not to be had the part is left out, and the output says so. Nothing valid may fail, and memory must stay flat.

The lake learns of the events that were answered, LEARNS times in all, as the ingest of the application's own records
has it learn in life: the service reads its history anew each time, and need not remember them any more.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks._serving_score import HISTORY, ScoreService, score_service, second_version
from benchmarks._serving_stacks import free_port
from benchmarks._soak_client import INVALID, Client
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform.serving.pointer import Pointer, write_pointer

CONNECTIONS = 16
SWAPS = 30
DISK_MIB = 256
SAMPLE_SECONDS = 2.0
LEARNS = 20
_COLUMNS = {
    "transaction_id": pa.int64(),
    "event_time": pa.timestamp("us"),
    "customer_id": pa.int64(),
    "terminal_id": pa.int64(),
    "amount": pa.float64(),
}


@dataclass
class Seen:
    """What came of it all."""

    memory_mib: list[float] = field(default_factory=list)
    swaps: int = 0
    learned: int = 0
    disk_was_full: bool = False
    lake_was_away: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-soak-") as folder:
        home = Home(Path(folder) / "score-home")
        with _small_disk(home.journal("fraud")) as disk, score_service(Path(folder), free_port()) as service:
            figures = asyncio.run(_soak(service, home, Path(folder), disk, 60 * given.minutes))
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if given.json:
        print(json.dumps(figures))


async def _soak(service: ScoreService, home: Home, folder: Path, disk: Path | None, seconds: float) -> dict[str, Any]:
    pointers = [Pointer(**json.loads(home.deployment("fraud").read_text())), second_version(folder, home)]
    bodies = service.bodies.read_bytes().splitlines()
    clients = [Client(service.port, bodies, number) for number in range(CONNECTIONS)]
    seen, until = Seen(), time.monotonic() + seconds
    await asyncio.gather(
        *(client.run(until) for client in clients),
        _swap(home, pointers, seconds, until, seen),
        _fill(disk, seconds, seen),
        _hide(Lake.at(home), seconds, seen),
        _learn(Lake.at(home), clients, seconds, until, seen),
        _watch(service, until, seen),
    )
    total: Counter[str] = sum((client.counts for client in clients), Counter())
    quarters = [statistics.median(part) for part in _quarters(seen.memory_mib)]
    return {
        "requests": sum(total.values()),
        "valid_failed": sum(number for name, number in total.items() if name.startswith("failed")),
        "failures": {name: number for name, number in total.items() if name.startswith("failed")},
        "invalid_refused": total["refused"],
        "invalid_kinds": len(INVALID),
        "versions_that_answered": sorted(set().union(*(client.versions for client in clients))),
        "hot_swaps": seen.swaps,
        "disk_was_full": seen.disk_was_full,
        "lake_was_away": seen.lake_was_away,
        "events_learned_by_the_lake": seen.learned,
        "events_remembered_at_the_end": service.events_remembered(),
        "memory_mib_by_quarter": [round(each) for each in quarters],
        "memory_mib_peak": round(max(seen.memory_mib)),
        # The first quarter warms up.
        "memory_growth": round(quarters[3] / quarters[1], 3),
    }


async def _swap(home: Home, pointers: list[Pointer], seconds: float, until: float, seen: Seen) -> None:
    for number in count(1):
        await asyncio.sleep(seconds / (SWAPS + 1))
        if time.monotonic() > until or seen.swaps == SWAPS:
            return
        write_pointer(home.deployment("fraud"), pointers[number % 2])
        seen.swaps += 1


async def _fill(disk: Path | None, seconds: float, seen: Seen) -> None:
    """From 30 % of the time on, a tenth of it long."""
    if disk is None:
        return
    await asyncio.sleep(0.3 * seconds)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            seen.disk_was_full = True
    await asyncio.sleep(0.1 * seconds)
    filler.unlink()


async def _hide(lake: Lake, seconds: float, seen: Seen) -> None:
    """From 60 % of the time on, a tenth of it long."""
    await asyncio.sleep(0.6 * seconds)
    away = lake.catalog.with_name("away")
    lake.catalog.rename(away)
    seen.lake_was_away = True
    await asyncio.sleep(0.1 * seconds)
    away.rename(lake.catalog)


async def _learn(lake: Lake, clients: list[Client], seconds: float, until: float, seen: Seen) -> None:
    """Also while the lake is away: what could not be written waits for the next time."""
    known: set[int] = set()
    waiting: dict[int, dict[str, Any]] = {}
    while time.monotonic() + seconds / LEARNS < until:
        await asyncio.sleep(seconds / LEARNS)
        for client in clients:
            events = [json.loads(body) for body in client.happened]
            client.happened.clear()
            waiting |= {e["transaction_id"]: e for e in events if e["transaction_id"] not in known}
        if waiting and lake.catalog.exists():
            await asyncio.to_thread(_append, lake, list(waiting.values()))
            known |= waiting.keys()
            seen.learned += len(waiting)
            waiting = {}


def _append(lake: Lake, events: list[dict[str, Any]]) -> None:
    rows = pa.Table.from_pylist(
        [{**event, "event_time": datetime.fromisoformat(event["event_time"])} for event in events],
        schema=pa.schema(_COLUMNS),
    )
    lake.commit(lambda con: append_rows(con, HISTORY, rows), f"{len(events)} events")


def _quarters(samples: list[float]) -> list[list[float]]:
    size = max(1, len(samples) // 4)
    return [samples[:size], samples[size : 2 * size], samples[2 * size : 3 * size], samples[3 * size :]]


async def _watch(service: ScoreService, until: float, seen: Seen) -> None:
    while time.monotonic() < until:
        seen.memory_mib.append(1024 * service.memory_gib())
        await asyncio.sleep(SAMPLE_SECONDS)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        print(f"no full disk: {mounted.stderr.decode().strip()}")
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    main()
