"""What the journal costs a request, what a kill costs the journal, and how fast its lines reach the lake.

    python -m benchmarks.journal [--json] [--requests 20000] [--kills 10]

The app of the service answers single rows in this process, with and without a journal, in turns. A writer of 500
predictions a second is killed (SIGKILL) at a random moment; what it had handed over and the lake does not have is lost,
and was at most so many seconds old.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from mlplatform.contracts.rules import Rule
from mlplatform.lake.lake import Lake
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trees import TreesScorer
from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import Bundle, Manifest
from mlplatform.serving.journal import Entry, Journal, JournalSettings
from mlplatform.serving.journal_ingest import ingest_journal
from mlplatform.serving.scoring import Live, Slot

FEATURES = tuple(f"feature_{number}" for number in range(15))
KEPT = JournalSettings(True, ("key",), "event_time", FEATURES)
TABLE = "bench.prediction_log"
PER_SECOND, TURNS = 500, 5


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--requests", type=int, default=20_000)
    asked.add_argument("--kills", type=int, default=10)
    asked.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.write:
        write_for_ever(options.write)
        return
    found = {**request_cost(options.requests), **ingest_speed(), **kill_cost(options.kills)}
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{k:<28}{v:>14,.3f}" for k, v in found.items()))


def live() -> Live:
    """A LightGBM of 100 trees behind the rules of 15 numbers."""
    generator = np.random.default_rng(0)
    rows = generator.random((5000, len(FEATURES)))
    labels = (rows[:, 0] + rows[:, 1] > 1).astype(int)
    booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, lgb.Dataset(rows, labels), 100)
    scorer = TreesScorer(lgb.Booster(model_str=booster.model_to_string()))
    model = Model(Encoding(FEATURES, {}), scorer, Probability(Sigmoid(), 0.5), pd.Timestamp("2020-01-01"))
    rules = tuple(Rule(name=name, type="float", minimum=0, maximum=1, example=0.5) for name in FEATURES)
    return Live.of(Bundle(model, rules, "bench", "1", Manifest("bench", "1", {}, {}), KEPT), "bench:v1")


def request_cost(requests: int) -> dict[str, float]:
    """Requests a second without and with a journal, in turns; the ratio of the medians."""
    served = live()
    row = {**dict.fromkeys(FEATURES, 0.5), "key": 7, "event_time": "2020-01-01T00:00:00"}
    body = json.dumps({**row, "explain": False}).encode()
    speeds: dict[str, list[float]] = {"without": [], "with": []}
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TURNS):
            speeds["without"].append(asyncio.run(_ask(served, None, body, requests // TURNS)))
            journal = Journal(Path(folder))
            speeds["with"].append(asyncio.run(_ask(served, journal, body, requests // TURNS)))
            journal.close()
            lost += journal.dropped + journal.failed
    without, kept = median(speeds["without"]), median(speeds["with"])
    return {
        "requests_s_without": without,
        "requests_s_with": kept,
        "ratio_with_to_without": kept / without,
        "cost_us": 1e6 * (1 / kept - 1 / without),
        "dropped": float(lost),
    }


async def _ask(served: Live, journal: Journal | None, body: bytes, requests: int) -> float:
    app = create_app(Slot(served), journal=journal)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    scope |= {"query_string": b"", "root_path": "", "raw_path": b"/predict", "http_version": "1.1"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise SystemExit(f"the app answered {message['status']}")

    began = time.perf_counter()
    for number in range(requests):
        await app(dict(scope), receive, send)
        if number % 50 == 0:
            await asyncio.sleep(0)
    return requests / (time.perf_counter() - began)


def entry(number: int) -> Entry:
    """One prediction; its key is its number, its request id the moment it was handed over."""
    answer = {"score": 0.5, "decision": False}
    row = dict.fromkeys(FEATURES, 0.5)
    about = [{"key": number, "event_time": "2020-01-01T00:00:00"}]
    return Entry(KEPT, str(time.time()), {"version": "1", "bento": "b"}, about, [row], [answer], 1.0)


def ingest_speed(rows: int = 100_000) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        journal = Journal(root / "journal")
        settings = replace(KEPT, queue_rows=rows + 1)
        for number in range(rows):
            journal.put(replace(entry(number), settings=settings))
        journal.close()
        size = sum(path.stat().st_size for path in (root / "journal").iterdir())
        began = time.perf_counter()
        done = ingest_journal(_lake(root), root / "journal", TABLE, ["key"])
        seconds = time.perf_counter() - began
    if done.rows != rows:
        raise SystemExit(f"{done.rows} of {rows} predictions reached the lake")
    return {"ingest_rows_s": rows / seconds, "bytes_per_prediction": size / rows}


def kill_cost(kills: int) -> dict[str, float]:
    """Over all kills: predictions handed over, lost, doubled, and the age of the oldest lost one when the kill came."""
    handed = lost = doubled = 0
    oldest = 0.0
    for number in range(kills):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            told, killed_at = _killed(root, wait=random.Random(number).uniform(2, 4))
            ingest_journal(_lake(root), root / "journal", TABLE, ["key"])
            ingest_journal(_lake(root), root / "journal", TABLE, ["key"])
            with _lake(root).read() as con:
                kept = [int(key) for (key,) in con.execute(f"SELECT key FROM {TABLE}").fetchall()]
            missing = set(told) - set(kept)
            handed += len(told)
            lost += len(missing)
            doubled += len(kept) - len(set(kept))
            oldest = max([oldest, *(killed_at - told[key] for key in missing)])
    return {
        "killed": float(kills),
        "handed_over": float(handed),
        "lost": float(lost),
        "doubled": float(doubled),
        "oldest_lost_s": oldest,
    }


def _killed(root: Path, wait: float) -> tuple[dict[int, float], float]:
    """What the writer said that it handed over, and when; and when it was killed."""
    command = [sys.executable, "-m", "benchmarks.journal", "--write", str(root / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        killed_at = time.time()
        os.kill(process.pid, signal.SIGKILL)
        lines = [line.split() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    return {int(key): float(at) for key, at in lines}, killed_at


def write_for_ever(folder: Path) -> None:
    journal, number = Journal(folder), 0
    print("begun", flush=True)
    while True:
        at = time.time()
        journal.put(entry(number))
        print(number, at, flush=True)
        number += 1
        time.sleep(1 / PER_SECOND)


def _lake(root: Path) -> Lake:
    return Lake(root / "lake" / "catalog.sqlite", root / "lake" / "data", root / "locks")


if __name__ == "__main__":
    main()
