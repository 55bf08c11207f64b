"""The peer "Feast": precomputed features of the fraud use case's size, read from its SQLite online store by its server.

It lives in an environment of its own (`pip install feast`), since its pins are not ours. It only looks values up: no
feature is computed from the event, no model answers, nothing is journalled.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pandas as pd

from benchmarks._serving_stacks import READY_SECONDS, Stack, free_port
from mlplatform.serving.launch import HOST

__all__ = ["feast_server"]

ENTITIES = {"customer": 5_000, "terminal": 10_000}
FEATURES = 11
REQUESTS = 10_000
STORE = """project: peer
registry: registry.db
provider: local
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""
DEFINITIONS = """from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float64


def view(name):
    entity = Entity(name=name, join_keys=[f"{name}_id"])
    return entity, FeatureView(
        name=f"{name}_features",
        entities=[entity],
        ttl=timedelta(days=3650),
        source=FileSource(path=f"{name}.parquet", timestamp_field="event_time"),
        schema=[Field(name=f"{name}_{i:02d}", dtype=Float64) for i in range(FEATURES)],
    )


customer, customer_features = view("customer")
terminal, terminal_features = view("terminal")
"""


@contextmanager
def feast_server(folder: Path, environment: Path) -> Iterator[Stack]:
    """Write the store with Feast's own commands, and serve it. `environment`: a virtual environment that has Feast."""
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(STORE)
    (folder / "definitions.py").write_text(DEFINITIONS.replace("FEATURES", str(FEATURES)))
    random = np.random.default_rng(0)
    for name, count in ENTITIES.items():
        columns = [f"{name}_{i:02d}" for i in range(FEATURES)]
        frame = pd.DataFrame(random.normal(size=(count, FEATURES)), columns=columns)
        keys = {f"{name}_id": range(count), "event_time": pd.Timestamp("2018-09-30", tz="UTC")}
        frame.assign(**keys).to_parquet(folder / f"{name}.parquet")
    feast = environment / "bin" / "feast"
    for command in (["apply"], ["materialize", "2018-09-01T00:00:00", "2018-10-01T00:00:00"]):
        subprocess.run([feast, *command], cwd=folder, check=True, capture_output=True)
    stack = Stack("feast lookup", free_port(), "/get-online-features", _bodies(folder / "bodies.json"), pid=0)
    log = folder / "feast.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            # By default it begins anew after 1,000 requests, and drops connections.
            [feast, "serve", "-h", HOST, "-p", str(stack.port), "--no-access-log", "--max-requests", "0"],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, stack, log)
            yield Stack(stack.name, stack.port, stack.path, stack.body, process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _bodies(path: Path) -> Path:
    names = [f"{entity}_features:{entity}_{i:02d}" for entity in ENTITIES for i in range(FEATURES)]
    random = np.random.default_rng(1)
    drawn = {f"{entity}_id": random.integers(0, count, REQUESTS).tolist() for entity, count in ENTITIES.items()}
    lines = [
        json.dumps({"features": names, "entities": {key: [ids[i]] for key, ids in drawn.items()}})
        for i in range(REQUESTS)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _wait(process: "subprocess.Popen[bytes]", stack: Stack, log: Path) -> None:
    url, headers = f"http://{HOST}:{stack.port}{stack.path}", {"Content-Type": "application/json"}
    first, end = stack.body.read_bytes().splitlines()[0], time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            answer = httpx.post(url, content=first, headers=headers, timeout=10, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.5)
            continue
        assert all(set(each["statuses"]) == {"PRESENT"} for each in answer.raise_for_status().json()["results"])
        return
    raise RuntimeError(f"Feast's server did not start:\n{log.read_text(errors='replace')[-3000:]}")
