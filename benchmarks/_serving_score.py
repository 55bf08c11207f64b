"""The service for POST /score: the fraud features over the history of a full-size world, computed per request."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import httpx
import lightgbm as lgb
import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.contracts.load import load_contract
from mlplatform.contracts.rules import describe, dump_rules
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.heads import Probability
from mlplatform.ml.model import Model
from mlplatform.ml.trees import TreesScorer
from mlplatform.resources.dbt import compile_features
from mlplatform.serving.build import build_bento
from mlplatform.serving.bundle import write_manifest
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.launch import start_service, stop_service
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.spec import PythonSource, load_declaration
from mlplatform.use_cases.fraud.source import Reader

__all__ = ["HISTORY", "ScoreService", "score_service", "second_version"]

HISTORY = "fraud.stg_transactions"
DAYS = 60
"""Features look back 45; the service keeps a week more."""
TREES = 150
REQUESTS = 60_000


@dataclass(frozen=True)
class ScoreService:
    """A running service. `bodies`: a file with one event per line, each of them new to the lake."""

    port: int
    pid: int
    bodies: Path
    history_rows: int

    def events_remembered(self) -> int:
        """Answered events that the lake does not know yet, as the service tells."""
        told = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=10, trust_env=False).json()
        return int(told["history"]["seen"])

    def memory_gib(self) -> float:
        """Unique memory of all its processes."""
        leader = psutil.Process(self.pid)
        return sum(p.memory_full_info().uss for p in (leader, *leader.children(recursive=True))) / 2**30


@contextmanager
def score_service(folder: Path, port: int) -> Iterator[ScoreService]:
    """A lake with the history, a bento, and `bentoml serve` as `mlplatform serve` starts it, with its journal."""
    home = Home(folder / "score-home")
    past, asked = _world()
    Lake.at(home).commit(lambda con: replace_table(con, HISTORY, past), "history")
    bodies = folder / "events.jsonl"
    bodies.write_text("".join(json.dumps(event) + "\n" for event in asked), encoding="utf-8")
    built = build_bento(_bundle(folder / "score-bundle", home), "fraud", 1, home=home)
    pointer = home.deployment("fraud")
    write_pointer(pointer, Pointer("fraud", built.tag, "1", str(built.bundle), "2018-09-01T00:00:00"))
    served = start_service(built.tag, port, home, pointer, timeout_seconds=180)
    try:
        yield ScoreService(port, served.pid, bodies, past.num_rows)
    finally:
        stop_service(served.pid)


def second_version(folder: Path, home: Home) -> Pointer:
    """Another version of the same model, built and ready to be deployed."""
    built = build_bento(_bundle(folder / "score-bundle-2", home, "2"), "fraud", 2, home=home)
    return Pointer("fraud", built.tag, "2", str(built.bundle), "2018-09-02T00:00:00")


def _world() -> tuple[pa.Table, list[dict[str, object]]]:
    """5,000 customers, 10,000 terminals: what staging holds of DAYS, and the events of the days after."""
    source = PythonSource(kind="python", name="transactions", key=["transaction_id"], start="2018-04-01")
    reader = Reader({"customers": 5000, "terminals": 10000, "seed": 0}, source)
    end = date(2018, 4, 1) + timedelta(days=DAYS)
    rows = reader.read(date(2018, 4, 1), end + timedelta(days=8)).sort_by("event_time")
    rows = rows.select(["transaction_id", "event_time", "customer_id", "terminal_id", "amount", "is_fraud"])
    rows = rows.rename_columns(["transaction_id", "event_time", "customer_id", "terminal_id", "amount", "label"])
    rows = rows.set_column(1, "event_time", rows["event_time"].cast(pa.timestamp("us")))
    rows = rows.set_column(5, "label", rows["label"].cast(pa.int8()))
    known = pc.add(rows["event_time"], pa.scalar(timedelta(days=7)))
    rows = rows.append_column("label_known_at", known.cast(pa.timestamp("us")))
    cut = pc.less(rows["event_time"], datetime.combine(end, datetime.min.time()))
    asked = rows.filter(pc.invert(cut)).select(["transaction_id", "event_time", "customer_id", "terminal_id", "amount"])
    events = [
        {**event, "event_time": event["event_time"].isoformat(), "explain": False}
        for event in asked.slice(0, REQUESTS).to_pylist()
    ]
    return rows.filter(cut), events


def _bundle(folder: Path, home: Home, version: str = "1") -> Path:
    """The declared features and contract; a model of the size of a champion, trained on noise."""
    declared = load_declaration("fraud")
    features = tuple(declared.spec.training.features)
    generator = np.random.default_rng(0)
    rows = generator.gamma(2, 20, (20_000, len(features)))
    labels = (rows[:, 0] + generator.normal(0, 20, len(rows)) > 60).astype(int)
    booster = lgb.train({"objective": "binary", "verbosity": -1, "seed": 0}, lgb.Dataset(rows, labels), TREES)
    scorer = TreesScorer(lgb.Booster(model_str=booster.model_to_string()))
    Model(Encoding(features), scorer, Probability(Sigmoid(), 0.5), pd.Timestamp("2018-05-01")).save(folder)
    contract = describe(load_contract(declared.folder, "contract", "features"))
    (folder / "contract.json").write_text(dump_rules([r for r in contract if r.name in features]), encoding="utf-8")
    query = compile_features(home, "fraud")
    assert query.asked_by is not None
    rules = {rule.name: rule for rule in describe(load_contract(declared.folder, "contract", "transactions"))}
    spine = [("label", "TINYINT"), ("label_known_at", "TIMESTAMP")]
    kinds = {"integer": "BIGINT", "float": "DOUBLE", "timestamp": "TIMESTAMP"}
    fields = tuple(rules[name] for name in query.asked_by.fields)
    RawSettings(query, fields, (*((r.name, kinds[r.type]) for r in fields), *spine)).save(folder)
    JournalSettings(True, ("transaction_id",), "event_time", features).save(folder)
    write_manifest(folder, "fraud", version)
    return folder
