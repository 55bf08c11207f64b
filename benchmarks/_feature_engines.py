"""The fraud features by three engines, each in the fastest form we found. One process per engine: see features.py.

All three read the same Parquet file of transactions and end with one table in memory, ordered by `transaction_id`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlplatform.lake.feature_query import FeatureQuery

__all__ = ["COMPARED", "ENGINES", "duckdb_features"]

DAYS = (1, 7, 30)
DELAY_DAYS = 7
COMPARED = (
    "is_night",
    "is_weekend",
    *(f"{name}_{d}d" for name in ("customer_count", "customer_mean_amount", "terminal_count") for d in DAYS),
    *(f"terminal_risk_{d}d" for d in DAYS),
    "amount_over_mean_30d",
)
"""What pandas and polars compute. DuckDB is timed on the use case's whole text, ten features more."""


def duckdb_features(rows: Path, query: FeatureQuery, memory: str, temp: Path) -> tuple[float, pa.Table | int]:
    """Seconds, and the features; of more than 5 million rows only their number: Arrow would hold them all."""
    import duckdb

    config = {"memory_limit": memory, "temp_directory": str(temp), "preserve_insertion_order": "false"}
    with duckdb.connect(str(temp / "features.duckdb"), config=config) as con:
        con.execute(f"ATTACH '{temp / 'lake.duckdb'}' AS lake")
        con.execute("CREATE SCHEMA lake.fraud")
        for table in (query.spine, query.history[0].table):
            con.execute(f"CREATE VIEW lake.{table} AS FROM read_parquet('{rows}')")
        started = time.perf_counter()
        con.execute(f"CREATE TABLE lake.{query.table} AS {query.sql}")
        seconds = time.perf_counter() - started
        count = con.sql(f"SELECT count(*) FROM lake.{query.table}").fetchall()[0][0]
        if count > 5_000_000:
            return seconds, int(count)
        return seconds, con.sql(f"SELECT * FROM lake.{query.table} ORDER BY transaction_id").to_arrow_table()


def pandas_features(rows: Path) -> tuple[float, pa.Table]:
    """`groupby().rolling` on a sorted frame; risk as differences of sums, since pandas cannot shift a window."""
    import pandas as pd

    started = time.perf_counter()
    frame = pd.read_parquet(rows)
    frame = frame.sort_values(["customer_id", "event_time"]).reset_index(drop=True)
    amounts = frame.set_index("event_time").groupby("customer_id")["amount"]
    for days in DAYS:
        window = amounts.rolling(f"{days}D", closed="left")
        frame[f"customer_count_{days}d"] = window.count().fillna(0).to_numpy()
        frame[f"customer_mean_amount_{days}d"] = window.mean().to_numpy()
    frame = frame.sort_values(["terminal_id", "event_time"]).reset_index(drop=True)
    labels = frame.set_index("event_time").groupby("terminal_id")["label"]
    for days in DAYS:
        frame[f"terminal_count_{days}d"] = labels.rolling(f"{days}D", closed="left").count().fillna(0).to_numpy()
    sums = {d: _sums(labels, d) for d in (DELAY_DAYS, *(DELAY_DAYS + days for days in DAYS))}
    for days in DAYS:
        frauds, known = (sums[DELAY_DAYS + days][i] - sums[DELAY_DAYS][i] for i in (0, 1))
        frame[f"terminal_risk_{days}d"] = frauds / known.clip(1)
    frame["is_night"] = (frame["event_time"].dt.hour <= 6).astype("int8")
    frame["is_weekend"] = (frame["event_time"].dt.weekday >= 5).astype("int8")
    frame["amount_over_mean_30d"] = frame["amount"] / frame["customer_mean_amount_30d"].where(lambda mean: mean != 0)
    frame = frame.sort_values("transaction_id")
    seconds = time.perf_counter() - started
    return seconds, pa.Table.from_pandas(frame[["transaction_id", *COMPARED]], preserve_index=False)


def _sums(labels: Any, days: int) -> tuple[Any, Any]:
    # closed="left" leaves the present out, as the SQL does; a label that arrives this very moment does not occur here.
    window = labels.rolling(f"{days}D", closed="left")
    return window.sum().fillna(0).to_numpy(), window.count().fillna(0).to_numpy()


def polars_features(rows: Path) -> tuple[float, pa.Table]:
    """`rolling` with `group_by` on a sorted frame; an offset moves the window behind the label delay."""
    import polars as pl

    started = time.perf_counter()
    frame = pl.read_parquet(rows).sort("customer_id", "event_time")
    columns = []
    for days in DAYS:
        rolled = frame.rolling("event_time", period=f"{days}d", group_by="customer_id", closed="left").agg(
            pl.len().alias(f"customer_count_{days}d"), pl.col("amount").mean().alias(f"customer_mean_amount_{days}d")
        )
        columns += rolled.get_columns()[2:]
    frame = frame.with_columns(columns).sort("terminal_id", "event_time")
    columns = []
    for days in DAYS:
        of = {"index_column": "event_time", "period": f"{days}d", "group_by": "terminal_id", "closed": "left"}
        columns += frame.rolling(**of).agg(pl.len().alias(f"terminal_count_{days}d")).get_columns()[2:]
        behind = frame.rolling(**of, offset=f"-{DELAY_DAYS + days}d")
        columns += behind.agg(pl.col("label").mean().alias(f"terminal_risk_{days}d")).get_columns()[2:]
    risks = [pl.col(f"terminal_risk_{days}d").fill_null(0) for days in DAYS]
    mean = pl.col("customer_mean_amount_30d")
    frame = frame.with_columns(columns).with_columns(
        *risks,
        (pl.col("event_time").dt.hour() <= 6).cast(pl.Int8).alias("is_night"),
        (pl.col("event_time").dt.weekday() >= 6).cast(pl.Int8).alias("is_weekend"),
        (pl.col("amount") / pl.when(mean != 0).then(mean)).alias("amount_over_mean_30d"),
    )
    frame = frame.sort("transaction_id")
    return time.perf_counter() - started, frame.select("transaction_id", *COMPARED).to_arrow()


ENGINES: dict[str, Callable[[Path], tuple[float, pa.Table]]] = {"pandas": pandas_features, "polars": polars_features}
