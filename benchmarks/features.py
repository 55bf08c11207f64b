"""`python -m benchmarks.features [--json]`: the fraud features in SQL beside pandas and polars.

All engines compute all 25 features of the use case. Each runs in a process of its own, so that its peak memory is its
own, and on two threads; they take turns, and the best of `--repeats` runs counts. The transactions have distinct times
(a transaction's number is added in microseconds): the engines differ on ties.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._feature_engines import ENGINES, duckdb_features, duckdb_table
from benchmarks._feature_latency import latencies
from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.resources.dbt import compile_features
from mlplatform.spec import PythonSource
from mlplatform.use_cases.fraud.source import Reader

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
MEMORY = {1: "1200MB", 10: "4500MB"}
"""DuckDB's limit; the process and the Arrow table it ends with need more."""
THREADS = {"POLARS_MAX_THREADS": "2"}
"""DuckDB takes as many as there are cores, two where this was measured; pandas has no use for a second."""


def main() -> None:
    options = _options()
    if options.engine:
        _run_engine(options.engine, options.folder, options.scale)
        return
    with TemporaryDirectory(dir=options.temp) as temp:
        folder = Path(temp)
        compile_features(Home(folder / "home"), "fraud").save(folder / "query.json")
        _make_rows(folder / "1.parquet", options.scale)
        runs = _take_turns(("duckdb", "duckdb-table", *ENGINES), folder, options.repeats)
        equal = all(_equal(folder, name) for name in ENGINES)
        waits = latencies(folder / "1.parquet", FeatureQuery.load(folder / "query.json"))
        if not options.skip_10x:
            _make_rows(folder / "10.parquet", 10 * options.scale)
            runs["10 x table"] = _run("duckdb-table", folder, 10)
    _report(runs, equal, waits, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="1: 5,000 customers and 10,000 terminals")
    parser.add_argument("--skip-10x", action="store_true")
    parser.add_argument("--temp", help="folder for 3 GB of rows and what DuckDB spills")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _make_rows(path: Path, scale: float) -> None:
    """Transactions as staging leaves them; ten times the rows are ten times the customers in ten worlds."""
    worlds = max(1, round(scale))
    size = scale / worlds
    params = {"customers": max(3, round(5000 * size)), "terminals": max(2, round(10000 * size))}
    writer: pq.ParquetWriter | None = None
    for world in range(worlds):
        reader = Reader({**params, "seed": world}, PythonSource(kind="python", name="t", key=["t"], start="2018-04-01"))
        rows = _distinct(reader.read(date(2018, 4, 1), date(2018, 10, 1)), world, params["customers"])
        writer = writer or pq.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
    if writer:
        writer.close()


def _distinct(rows: pa.Table, world: int, customers: int) -> pa.Table:
    number = np.arange(rows.num_rows, dtype=np.int64)
    shift = (number % 1_000_000).astype("timedelta64[us]")
    return pa.table(
        {
            "transaction_id": number + world * 100_000_000,
            "event_time": rows["event_time"].to_numpy() + shift,
            "customer_id": rows["customer_id"].to_numpy() + world * customers,
            "terminal_id": rows["terminal_id"].to_numpy() + world * 10_000_000,
            "amount": rows["amount"],
            "label": pc.cast(rows["is_fraud"], pa.int8()),
            "label_known_at": rows["label_known_at"].to_numpy() + shift,
        }
    )


def _take_turns(engines: tuple[str, ...], folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """The best run of each. By turns, so that a machine that is busy for a while is busy for all."""
    rounds = [{engine: _run(engine, folder, 1) for engine in engines} for _ in range(repeats)]
    return {engine: min((runs[engine] for runs in rounds), key=lambda run: run["seconds"]) for engine in engines}


def _run(engine: str, folder: Path, scale: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.features", "--engine", engine, "--folder", str(folder)]
    command += ["--scale", str(scale)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **THREADS})
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _run_engine(engine: str, folder: Path, scale: float) -> None:
    rows = folder / f"{scale:.0f}.parquet"
    cpu = time.process_time()
    if engine in ENGINES:
        seconds, result = ENGINES[engine](rows)
    else:
        with TemporaryDirectory(dir=folder) as temp:
            work = duckdb_table if engine == "duckdb-table" else duckdb_features
            seconds, result = work(rows, FeatureQuery.load(folder / "query.json"), MEMORY[int(scale)], Path(temp))
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if isinstance(result, pa.Table):
        pq.write_table(result, folder / f"{engine}.parquet")
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_gib": peak}))


def _equal(folder: Path, engine: str) -> bool:
    """Whether the engine's values are DuckDB's, in every row and column (relative difference below 1e-6)."""
    left, right = (pq.read_table(folder / f"{name}.parquet").sort_by("transaction_id") for name in ("duckdb", engine))
    names = [name for name in left.column_names if name != "event_time"]
    return all(_close(_floats(left[name]), _floats(right[name])) for name in names)


def _close(left: Floats, right: Floats) -> bool:
    return bool(np.allclose(left, right, rtol=1e-6, atol=1e-9, equal_nan=True))


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy(), dtype=np.float64)


def _report(runs: dict[str, dict[str, float]], equal: bool, waits: dict[int, float], *, as_json: bool) -> None:
    print(f"{'engine':<14}{'seconds':>10}{'cpu s':>10}{'peak GiB':>10}")
    for name, run in runs.items():
        print(f"{name:<14}{run['seconds']:>10.2f}{run['cpu']:>10.2f}{run['peak_gib']:>10.2f}")
    print(f"equal values: {equal}")
    print("; ".join(f"{requests} requests: {wait:.1f} ms" for requests, wait in waits.items()))
    base = runs["duckdb"]
    large = runs.get("10 x table")
    figures = {
        "speedup_over_pandas": runs["pandas"]["seconds"] / base["seconds"],
        "speedup_over_polars": runs["polars"]["seconds"] / base["seconds"],
        "equal": equal,
        "peak_gib": base["peak_gib"],
        "growth_10x": large["seconds"] / runs["duckdb-table"]["seconds"] if large else None,
        "peak_gib_10x": large["peak_gib"] if large else None,
        "latency_ms": waits,
    }
    if as_json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
