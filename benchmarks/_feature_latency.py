"""How long a service waits for the features of a few requests: the same text, 40 days of history, one thread."""

import time
from datetime import timedelta
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlplatform.lake.feature_query import FeatureQuery

__all__ = ["latencies"]

HISTORY_DAYS = 40
REQUESTS = (1, 16, 64)
ROUNDS = 15


def latencies(rows: Path, query: FeatureQuery) -> dict[int, float]:
    """Median milliseconds of `FeatureQuery.run`, given the past of the requests' customers and terminals."""
    table = pq.read_table(rows).sort_by("event_time")
    return {
        requests: median(_milliseconds(table, query, requests, at) for at in range(ROUNDS)) for requests in REQUESTS
    }


def _milliseconds(table: pa.Table, query: FeatureQuery, requests: int, at: int) -> float:
    first = table.num_rows - (at + 1) * 1000
    asked, past = table.slice(first, requests), table.slice(0, first)
    since = asked["event_time"][0].as_py() - timedelta(days=HISTORY_DAYS)
    shared = pc.or_(*(pc.is_in(past[name], asked[name]) for name in ("customer_id", "terminal_id")))
    history = past.filter(pc.and_(shared, pc.greater(past["event_time"], since)))
    started = time.perf_counter()
    query.run(asked, {query.history[0].table: history})
    return 1000 * (time.perf_counter() - started)
