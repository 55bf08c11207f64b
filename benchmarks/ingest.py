"""A million rows from every kind of source into the lake, beside plain DuckDB and beside dlt: rows per second.

    python -m benchmarks.ingest [--json] [--rows 1000000] [--kinds csv,json,...] [--repeat 1] [--dlt PYTHON]

Each kind is read from a real server on loopback (Postgres, MariaDB, an S3 server, NATS, Mosquitto, a web server) by the
real stage: read, checked by a contract, merged by key, the cursor in the same transaction. Beside it `plain` is what
the lake's own engine takes to put the same rows there without a check, a key or a cursor: DuckDB's reader and one
INSERT into a DuckLake; of what DuckDB cannot read (API, brokers, a function) the INSERT of rows that are in memory.
`dlt` is dlt's load of the same rows into a DuckDB file by the same key (`write_disposition="merge"`), in an environment
of its own. Both load a few rows before the clock runs, so that no figure holds the import of libraries. With `--repeat`
each is done so often, in turns, and the best is told: other work on the machine only slows down.

    python3.11 -m venv /tmp/dlt
    /tmp/dlt/bin/pip install 'dlt[duckdb,sql-database,filesystem]==1.31.0' pyarrow pymysql psycopg2-binary
    python -m benchmarks.ingest --json --dlt /tmp/dlt/bin/python
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._ingest_sources import KINDS, Prepared, prepared

ROWS = 1_000_000
WARM_UP_ROWS = 1_000
FIGURES = ("rows_per_s", "plain_rows_per_s", "dlt_rows_per_s")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--json", action="store_true", help="print the figures as one JSON object at the end")
    asked.add_argument("--rows", type=int, default=ROWS)
    asked.add_argument("--kinds", default=",".join(KINDS))
    asked.add_argument("--repeat", type=int, default=1)
    asked.add_argument("--dlt", help="a Python that has dlt")
    given = asked.parse_args()
    measure("csv", WARM_UP_ROWS, None)
    found: dict[str, dict[str, float | None]] = {}
    print(
        "| kind | rows/s | plain rows/s | dlt rows/s | of plain | of dlt |\n| --- | --- | --- | --- | --- | --- |",
        flush=True,
    )
    for kind in given.kinds.split(","):
        found[kind] = best([measure(kind, given.rows, given.dlt) for _ in range(given.repeat)])
        cells = [found[kind][name] for name in (*FIGURES, "of_plain", "of_dlt")]
        print("| " + " | ".join([kind, *("-" if cell is None else f"{cell:,}" for cell in cells)]) + " |", flush=True)
    if given.json:
        print(json.dumps({"rows": given.rows, **found}))


def best(found: list[dict[str, float | None]]) -> dict[str, float | None]:
    """The best of each figure, and their ratios."""
    ours, plain, theirs = (max(filter(None, (one[name] for one in found)), default=None) for name in FIGURES)
    assert ours is not None
    assert plain is not None
    return {
        **dict(zip(FIGURES, (ours, plain, theirs), strict=True)),
        "of_plain": round(ours / plain, 2),
        "of_dlt": round(ours / theirs, 1) if theirs else None,
    }


def measure(kind: str, rows: int, dlt: str | None) -> dict[str, float | None]:
    """One kind: ours, plain and dlt's rows per second, each into an empty place."""
    with tempfile.TemporaryDirectory() as folder, prepared(kind, rows, Path(folder)) as source:
        os.environ["MLPLATFORM_HOME"] = str(Path(folder) / "home")
        ours = rate(rows, lambda: ingest(source, rows))
        plain = rate(rows, lambda: source.plain(Path(folder) / "plain"))
        theirs = load_with_dlt(dlt, source, rows, Path(folder)) if dlt and source.for_dlt else None
    return dict(zip(FIGURES, (ours, plain, theirs), strict=True))


def rate(rows: int, work: Any) -> float:
    """Rows per second."""
    began = time.perf_counter()
    work()
    return round(rows / (time.perf_counter() - began))


def ingest(source: Prepared, rows: int) -> None:
    """The stage, until every row is there."""
    made = source.feeding.ingested()
    there = made["dagster/row_count"]
    assert there == rows, f"{there} of {rows} rows are in the lake"


def load_with_dlt(python: str, source: Prepared, rows: int, folder: Path) -> float:
    """dlt's own figure: it imports and starts before the clock runs."""
    script = Path(__file__).with_name("_ingest_dlt.py")
    told = json.dumps({**(source.for_dlt or {}), "rows": rows, "folder": str(folder / "dlt")})
    done = subprocess.run([python, str(script), told], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dlt failed:\n{done.stderr[-3000:]}")
    return float(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
