"""One row through our service, beside BentoML as documented, MLflow's scoring server and FastAPI; and raw events.

Same LightGBM model, same row, loopback, one worker each; all are started first and then measured in turn.
`python -m benchmarks.serving [--json] [--seconds 5] [--feast <environment>]`
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks._serving_feast import feast_server
from benchmarks._serving_load import Measured
from benchmarks._serving_model import write_everything
from benchmarks._serving_score import score_service
from benchmarks._serving_stacks import Stack, free_port, started_stacks
from mlplatform.home import Home

OURS, SCORE = "mlplatform", "mlplatform /score"
CONNECTIONS = (1, 16)
SCORE_CONNECTIONS = (1, 16, 64)
WARM_UP_SECONDS = 1.0
# Rounds are interleaved over the stacks: other load on the machine hits all of them, not the one that is up.
ROUNDS = 5


@dataclass(frozen=True)
class Line:
    """One row of the table. CPU is that of the server's processes, all of them."""

    stack: str
    connections: int
    rows: int
    measured: Measured
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=5.0, help="per stack and number of connections")
    parser.add_argument("--feast", type=Path, help="a virtual environment that has Feast, to measure its lookup too")
    given = parser.parse_args()
    lines = list(run(given.seconds))
    print(table(lines))
    scored, memory = run_score(given.seconds, given.feast)
    print(table(scored), f"\nmemory of the service for /score: {memory:.2f} GiB")
    if given.json:
        print(json.dumps({**figures(lines), **score_figures(scored), "score_memory_gib": round(memory, 2)}))


def run(seconds: float) -> Iterator[Line]:
    """Start everything, warm everything up, measure in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder, ExitStack() as stack:
        home = Home(Path(folder) / "home")
        row = write_everything(Path(folder))
        stacks = stack.enter_context(started_stacks(Path(folder), home, row))
        for peer in stacks:
            _load(peer, 1, WARM_UP_SECONDS)
        single, many = ([peer for peer in stacks if (peer.rows > 1) == several] for several in (False, True))
        for peers, connections in ((single, 1), (single, 16), (many, 1)):
            rounds = [[measure(peer, connections, seconds / ROUNDS) for peer in peers] for _ in range(ROUNDS)]
            yield from (median(lines) for lines in zip(*rounds, strict=True))


def run_score(seconds: float, feast: Path | None) -> tuple[list[Line], float]:
    """POST /score with features computed per request, and Feast's lookup of precomputed ones in turn with it; the
    memory of the service in GiB after all of it."""
    with tempfile.TemporaryDirectory(prefix="bench-score-") as folder, ExitStack() as stack:
        service = stack.enter_context(score_service(Path(folder) / "ours", free_port()))
        peers = [Stack(SCORE, service.port, "/score", service.bodies, service.pid)]
        if feast is not None:
            peers.append(stack.enter_context(feast_server(Path(folder) / "feast", feast)))
        for peer in peers:
            _load(peer, 16, WARM_UP_SECONDS)
        lines = [measure(peer, connections, seconds) for connections in SCORE_CONNECTIONS for peer in peers]
        return lines, service.memory_gib()


def score_figures(lines: list[Line]) -> dict[str, float]:
    """At 16 connections, and the throughput at 64; Feast's beside them where it was measured."""
    at = {line.connections: line.measured for line in lines if line.stack == SCORE}
    feast = {line.connections: line.measured for line in lines if line.stack != SCORE}
    beside = (
        {} if not feast else {"feast_p50_ms": round(feast[16].p50_ms, 2), "feast_p99_ms": round(feast[16].p99_ms, 2)}
    )
    return {
        **beside,
        "score_p50_ms": round(at[16].p50_ms, 2),
        "score_p99_ms": round(at[16].p99_ms, 2),
        "score_per_second_64": round(at[64].per_second, 1),
    }


def median(lines: tuple[Line, ...]) -> Line:
    """The round with the middle throughput, so that its other figures belong to it."""
    return sorted(lines, key=lambda line: line.measured.per_second)[len(lines) // 2]


def measure(peer: Stack, connections: int, seconds: float) -> Line:
    with cpu_of(peer.pid) as spent:
        measured = _load(peer, connections, seconds)
    assert measured.failed == 0, f"{peer.name}: {measured.failed} requests failed"
    return Line(peer.name, connections, peer.rows, measured, spent[0] / measured.requests * 1000)


@contextmanager
def cpu_of(pid: int) -> Iterator[list[float]]:
    """Seconds of CPU that the process and its children spend inside of the block, as the one item of the list."""
    spent: list[float] = []
    before = _cpu_seconds(pid)
    yield spent
    spent.append(_cpu_seconds(pid) - before)


def _cpu_seconds(pid: int) -> float:
    leader = psutil.Process(pid)
    times = [process.cpu_times() for process in (leader, *leader.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def _load(peer: Stack, connections: int, seconds: float) -> Measured:
    """The client is a process of its own: its garbage collector and event loop are not the server's."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks._serving_load"),
            *("--port", str(peer.port), "--path", peer.path, "--body", str(peer.body)),
            *("--connections", str(connections), "--seconds", str(seconds)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return Measured(**json.loads(done.stdout))


def table(lines: list[Line]) -> str:
    head = f"{'stack':34} {'connections':>11} {'rows':>5} {'rows/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}"
    return "\n".join([head, "-" * len(head), *map(_text, lines)])


def _text(line: Line) -> str:
    at = line.measured
    numbers = f"{line.rows:5} {at.per_second * line.rows:8.0f} {at.p50_ms:8.2f} {at.p99_ms:8.2f} {line.cpu_ms:8.2f}"
    return f"{line.stack:34} {line.connections:11} {numbers}"


def figures(lines: list[Line]) -> dict[str, float]:
    """Ratios of requests per second at 1 connection, ours without explanation (no peer explains); `_16` at 16; `_rows`:
    of rows per second with MANY rows in a request."""
    found: dict[str, float] = {}
    for connections in CONNECTIONS:
        suffix = "" if connections == 1 else f"_{connections}"
        at = {line.stack: line.measured for line in lines if line.connections == connections and line.rows == 1}
        ours = at[OURS]
        for peer in ("bentoml", "mlflow", "fastapi"):
            found[f"ratio_to_{peer}{suffix}"] = round(ours.per_second / at[peer].per_second, 2)
        for name, measured in ((OURS, ours), (f"{OURS} explained", at[f"{OURS} explained"])):
            prefix = "" if name == OURS else "explained_"
            found[f"{prefix}p50_ms{suffix}"] = round(measured.p50_ms, 3)
            found[f"{prefix}p99_ms{suffix}"] = round(measured.p99_ms, 3)
    many = {line.stack: line.measured.per_second * line.rows for line in lines if line.rows > 1}
    for peer in ("bentoml", "mlflow", "fastapi"):
        found[f"ratio_to_{peer}_rows"] = round(many[OURS] / many[peer], 2)
    found["rows_per_second"] = round(many[OURS])
    found["explained_rows_per_second"] = round(many[f"{OURS} explained"])
    return found


if __name__ == "__main__":
    main()
