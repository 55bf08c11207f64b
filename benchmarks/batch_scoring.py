"""How many rows a second the live model scores, and whether memory grows with the table.

A table of 15 features in a real lake, a LightGBM of 200 trees, scores into a Parquet file as `batch_scores` does. The
peer reads the whole table into pandas and predicts at once. Each runs in a process of its own, whose peak it reports.

    python -m benchmarks.batch_scoring [--json] [--rows 1000000 10000000]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from mlplatform.lake.lake import Lake
from mlplatform.ml.batch import score_batches
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trees import TreesScorer

FEATURES = tuple(f"feature_{number}" for number in range(15))
BATCH_ROWS = 100_000


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    asked.add_argument("--child", choices=sorted(WAYS))
    asked.add_argument("--folder", type=Path)
    options = asked.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.folder)))
        return
    found = {}
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), rows)
            for way in WAYS:
                found[f"{way}_{rows}"] = in_a_process(way, Path(folder))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, told in found.items():
        print(f"{name:<28} {told['rows_per_s']:>12,.0f} rows/s {told['peak_mib']:>8,.0f} MiB")


def prepare(folder: Path, rows: int) -> None:
    """The lake and the model."""
    columns = ", ".join(f"random() AS {name}" for name in FEATURES)
    lake(folder).commit(
        lambda con: con.execute(
            f"CREATE SCHEMA big; CREATE TABLE big.features AS SELECT range AS example_id, {columns} FROM range({rows})"
        ),
        "a large table",
    )
    random = np.random.default_rng(0)
    known = random.random((20_000, len(FEATURES)))
    labels = (known[:, 0] + known[:, 1] * known[:, 2] + random.normal(0, 0.2, len(known)) > 1).astype(int)
    settings = {"objective": "binary", "verbosity": -1, "num_leaves": 15}
    booster = lgb.train(settings, lgb.Dataset(known, labels), 200)
    scorer = TreesScorer(lgb.Booster(model_str=booster.model_to_string()))
    Model(Encoding(FEATURES, {}), scorer, Probability(Sigmoid(), 0.5), pd.Timestamp("2020-01-01")).save(
        folder / "model"
    )


def lake(folder: Path) -> Lake:
    return Lake(folder / "catalog.sqlite", folder / "data", folder / "locks")


def in_batches(folder: Path) -> int:
    """As the stage does."""
    model, done, writer = Model.load(folder / "model"), 0, None
    with lake(folder).read() as con:
        reader = con.execute("FROM big.features").to_arrow_reader(BATCH_ROWS)
        for table, rows in score_batches(model, reader, ["example_id"]):
            writer = writer or pq.ParquetWriter(folder / "scores.parquet", table.schema)
            writer.write_table(table)
            done += rows
    if writer is not None:
        writer.close()
    return done


def at_once(folder: Path) -> int:
    """The whole table in memory."""
    model = Model.load(folder / "model")
    with lake(folder).read() as con:
        frame = con.execute("FROM big.features").df()
    scored = frame[["example_id"]].assign(score=model.predict(model.matrix(frame[list(FEATURES)])))
    scored.to_parquet(folder / "scores.parquet")
    return len(scored)


WAYS = {"in_batches": in_batches, "at_once": at_once}


def in_a_process(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.batch_scoring", "--child", way, "--folder", str(folder)]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


def measure(way: str, folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    rows = WAYS[way](folder)
    seconds = time.perf_counter() - began
    return {"rows_per_s": rows / seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    main()
