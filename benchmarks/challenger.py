"""What a challenger costs the champion's callers: one request at a time through the app, in one process, no network.

Both versions are small LightGBM models of one size, so that what differs is the way the request goes. A request comes a
millisecond after the answer before; a shadow may still be at it then. Run: python -m benchmarks.challenger
"""

import asyncio
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.challenger import Challenger, Mode
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.trial import Challenge, Trial
from mlplatform_tests.serving.conftest import GOOD, write_bundle

ROUNDS, REQUESTS = 60, 50
BODY = json.dumps(GOOD).encode()
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/predict",
    "raw_path": b"/predict",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": BODY, "more_body": False}


async def send(_: Any) -> None:
    return


def trial_of(challenger: Live, mode: Mode | None) -> Trial:
    trial = Trial()
    if mode:
        trial.begin(Challenge.of(Challenger("fraud", "fraud:v2", "2", "", mode, 1.0, ""), challenger))
    return trial


async def measure(champion: Live, challenger: Live) -> None:
    """Round by round in turn: what else the machine does meets all three alike."""
    modes: list[Mode | None] = [None, "shadow", "canary"]
    trials = {mode: trial_of(challenger, mode) for mode in modes}
    apps = {mode: create_app(Slot(champion), trial=trial) for mode, trial in trials.items()}
    taken: dict[Mode | None, list[float]] = {mode: [] for mode in modes}
    for _ in range(ROUNDS):
        for mode, app in apps.items():
            for _ in range(REQUESTS):
                began = perf_counter()
                await app(dict(SCOPE), receive, send)
                taken[mode].append(1000 * (perf_counter() - began))
                await asyncio.sleep(0.001)
    for mode, times in taken.items():
        times.sort()
        p50, p90, p99 = (times[int(len(times) * share)] for share in (0.5, 0.9, 0.99))
        print(f"{mode or 'alone':<7} p50 {p50:.3f} ms  p90 {p90:.3f} ms  p99 {p99:.3f} ms  {trials[mode].counts}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        champion, challenger = (
            Live.of(load_bundle(write_bundle(Path(folder) / version, version)), f"fraud:v{version}")
            for version in ("1", "2")
        )
        asyncio.run(measure(champion, challenger))


if __name__ == "__main__":
    main()
