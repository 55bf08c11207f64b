"""The fraud features by three engines, each in the fastest form we found. One process per engine: see features.py.

All three read the same Parquet file of transactions and end with the same Arrow table in memory: all features of the
use case, in any order. DuckDB runs the platform's own text. The other two may know what it does not: that every label
comes seven days after its transaction and that no two transactions share a moment.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.lake.feature_query import FeatureQuery

__all__ = ["ENGINES", "duckdb_features", "duckdb_table"]

DAYS = (1, 7, 30)
DELAY_DAYS = 7
LARGE = 3
HOUR, DAY = 3_600_000_000, 86_400_000_000
"""In microseconds."""


def duckdb_features(rows: Path, query: FeatureQuery, memory: str, temp: Path) -> tuple[float, pa.Table]:
    """Seconds, and the features as an Arrow table."""
    with _lake_of(rows, query, memory, temp) as con:
        started = time.perf_counter()
        table = con.execute(query.sql).to_arrow_table()
        return time.perf_counter() - started, table


def duckdb_table(rows: Path, query: FeatureQuery, memory: str, temp: Path) -> tuple[float, int]:
    """Seconds, and the number of rows in a table on disk: what dbt does, and all that ten times the rows allow."""
    with _lake_of(rows, query, memory, temp) as con:
        started = time.perf_counter()
        con.execute(f"CREATE TABLE lake.{query.table} AS {query.sql}")
        seconds = time.perf_counter() - started
        return seconds, int(con.sql(f"SELECT count(*) FROM lake.{query.table}").fetchall()[0][0])


@contextmanager
def _lake_of(rows: Path, query: FeatureQuery, memory: str, temp: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(temp)}) as con:
        con.execute("SET preserve_insertion_order = false")
        con.execute(f"ATTACH '{temp / 'lake.duckdb'}' AS lake")
        con.execute("CREATE SCHEMA lake.fraud")
        for table in (query.spine, query.history[0].table):
            con.execute(f"CREATE VIEW lake.{table} AS FROM read_parquet('{rows}')")
        yield con


def pandas_features(rows: Path) -> tuple[float, pa.Table]:
    """`groupby().rolling` on a sorted frame. A window behind the label delay, which pandas has not, is a difference of
    sums; the frauds at its ends are found by binary search."""
    import pandas as pd

    started = time.perf_counter()
    frame = _pandas_customers(pd.read_parquet(rows))
    frame = _pandas_terminals(frame)
    frame["is_night"] = (frame["event_time"].dt.hour <= 6).astype("int8")
    frame["is_weekend"] = (frame["event_time"].dt.weekday >= 5).astype("int8")
    spare = ["customer_id", "terminal_id", "label", "label_known_at"]
    table = pa.Table.from_pandas(frame.drop(columns=spare), preserve_index=False)
    return time.perf_counter() - started, table


def _pandas_customers(frame: Any) -> Any:
    import numpy as np

    frame = frame.sort_values(["customer_id", "event_time"]).reset_index(drop=True)
    frame["usual"] = np.log(frame["amount"].clip(lower=0) + 0.01)
    groups = frame.set_index("event_time").groupby("customer_id")
    for days in DAYS:
        window = groups["amount"].rolling(f"{days}D", closed="left")
        frame[f"customer_count_{days}d"] = window.count().fillna(0).to_numpy()
        frame[f"customer_mean_amount_{days}d"] = window.mean().to_numpy()
    usual = groups["usual"].rolling("30D", closed="left").mean().to_numpy()
    frame["amount_over_usual_30d"] = (frame["amount"] + 0.01) / np.exp(usual)
    hours = frame.groupby("customer_id")["event_time"].diff().dt.total_seconds() / 3600
    frame["customer_hours_since_last"] = hours.where(hours <= 30 * 24)
    frame["amount_over_mean_30d"] = frame["amount"] / frame["customer_mean_amount_30d"].where(lambda mean: mean != 0)
    frame["usual"] = (frame["amount_over_usual_30d"] > LARGE).astype("int8")
    groups = frame.set_index("event_time").groupby("customer_id")
    large = groups["usual"].rolling("14D", closed="left").sum().fillna(0)
    frame["customer_large_amounts_14d"] = large.round().to_numpy()
    largest = groups["amount_over_usual_30d"].rolling("14D", closed="left").max()
    frame["customer_largest_ratio_14d"] = largest.to_numpy()
    frauds = [groups["label"].rolling(f"{d}D", closed="left").sum().fillna(0) for d in (DELAY_DAYS, DELAY_DAYS + 30)]
    frame["customer_known_frauds_30d"] = (frauds[1] - frauds[0]).round().to_numpy()
    return frame.drop(columns="usual")


def _pandas_terminals(frame: Any) -> Any:
    frame = frame.sort_values(["terminal_id", "event_time"]).reset_index(drop=True)
    labels = frame.set_index("event_time").groupby("terminal_id")["label"]
    for days in DAYS:
        frame[f"terminal_count_{days}d"] = labels.rolling(f"{days}D", closed="left").count().fillna(0).to_numpy()
    sums = {d: _sums(labels, d) for d in (DELAY_DAYS, *(DELAY_DAYS + days for days in DAYS))}
    for days in DAYS:
        frauds, known = (sums[DELAY_DAYS + days][i] - sums[DELAY_DAYS][i] for i in (0, 1))
        frame[f"terminal_risk_{days}d"] = frauds / known.clip(1)
    frame["terminal_known_frauds_30d"] = frauds.round()
    return _pandas_since_fraud(frame)


def _sums(labels: Any, days: int) -> tuple[Any, Any]:
    # closed="left" leaves the present out, as the SQL does; a label that arrives this very moment does not occur here.
    window = labels.rolling(f"{days}D", closed="left")
    return window.sum().fillna(0).to_numpy(), window.count().fillna(0).to_numpy()


def _pandas_since_fraud(frame: Any) -> Any:
    """One sorted key for terminal and time, so that a binary search finds a moment at a terminal."""
    import numpy as np

    moment = frame["event_time"].to_numpy().astype("datetime64[us]").astype("int64")
    terminal = np.cumsum(np.diff(frame["terminal_id"].to_numpy(), prepend=-1) != 0)
    key = terminal * (moment.max() - moment.min() + 100 * DAY) + moment - moment.min()
    frauds = np.flatnonzero(frame["label"].to_numpy() == 1)
    where = key[frauds]
    known = frame["terminal_known_frauds_30d"].to_numpy() > 0
    first = frauds[np.searchsorted(where, key[known] - (DELAY_DAYS + 30) * DAY)]
    last = frauds[np.searchsorted(where, key[known] - DELAY_DAYS * DAY) - 1]
    latest = np.searchsorted(key, key[known] - DELAY_DAYS * DAY) - 1
    frame.loc[known, "terminal_days_since_first_fraud"] = (moment[known] - moment[first]) / DAY
    frame.loc[known, "terminal_days_since_last_fraud"] = (moment[known] - moment[last]) / DAY
    frame.loc[known, "terminal_legitimate_since_fraud"] = latest - last
    return frame


def polars_features(rows: Path) -> tuple[float, pa.Table]:
    """`rolling` with `group_by` on a sorted frame; an offset moves the window behind the label delay."""
    import polars as pl

    started = time.perf_counter()
    frame = _polars_terminals(_polars_customers(pl.read_parquet(rows)))
    mean = pl.col("customer_mean_amount_30d")
    frame = frame.with_columns(
        (pl.col("event_time").dt.hour() <= 6).cast(pl.Int8).alias("is_night"),
        (pl.col("event_time").dt.weekday() >= 6).cast(pl.Int8).alias("is_weekend"),
        (pl.col("amount") / pl.when(mean != 0).then(mean)).alias("amount_over_mean_30d"),
    )
    table = frame.drop("customer_id", "terminal_id", "label", "label_known_at").to_arrow()
    return time.perf_counter() - started, table


def _polars_customers(frame: Any) -> Any:
    import polars as pl

    amount, now = pl.col("amount"), pl.col("event_time")
    ratio = pl.col("amount_over_usual_30d")
    frame = frame.sort("customer_id", "event_time").with_columns((amount.clip(0) + 0.01).log().alias("usual"))
    of = {"index_column": "event_time", "group_by": "customer_id", "closed": "left"}
    columns = []
    for days in DAYS:
        found = [pl.len().alias(f"customer_count_{days}d"), amount.mean().alias(f"customer_mean_amount_{days}d")]
        extra = [pl.col("usual").mean(), pl.col("moment").max().alias("last")] if days == 30 else []
        rolled = frame.with_columns(now.alias("moment")).rolling(period=f"{days}d", **of).agg(*found, *extra)
        columns += rolled.get_columns()[2:]
    frame = frame.with_columns(columns).with_columns(
        ((amount + 0.01) / pl.col("usual").exp()).alias("amount_over_usual_30d"),
        ((now - pl.col("last")).dt.total_microseconds() / HOUR).alias("customer_hours_since_last"),
    )
    frame = frame.with_columns((ratio > LARGE).cast(pl.Int64).alias("large"))
    large = pl.col("large").sum().alias("customer_large_amounts_14d")
    rolled = frame.rolling(period="14d", **of).agg(large, ratio.max().alias("customer_largest_ratio_14d"))
    behind = frame.rolling(period="30d", offset=f"-{DELAY_DAYS + 30}d", **of)
    frauds = behind.agg(pl.col("label").cast(pl.Int64).sum().alias("customer_known_frauds_30d"))
    columns = [*rolled.get_columns()[2:], *frauds.get_columns()[2:]]
    return frame.with_columns(columns).drop("usual", "last", "large")


def _polars_terminals(frame: Any) -> Any:
    import polars as pl

    label, row = pl.col("label"), pl.col("row")
    frame = frame.sort("terminal_id", "event_time").with_row_index("row")
    frame = frame.with_columns(
        pl.when(label == 1).then("event_time").alias("fraud_at"), pl.when(label == 1).then("row").alias("fraud_row")
    )
    of = {"index_column": "event_time", "group_by": "terminal_id", "closed": "left"}
    ends = [pl.col("fraud_at").min().alias("first"), pl.col("fraud_at").max().alias("last")]
    ends += [row.max().alias("latest_row"), pl.col("fraud_row").max().alias("last_row")]
    ends += [label.cast(pl.Int64).sum().alias("terminal_known_frauds_30d")]
    columns = []
    for days in DAYS:
        columns += (
            frame.rolling(period=f"{days}d", **of).agg(pl.len().alias(f"terminal_count_{days}d")).get_columns()[2:]
        )
        behind = frame.rolling(period=f"{days}d", offset=f"-{DELAY_DAYS + days}d", **of)
        found = [label.mean().alias(f"terminal_risk_{days}d"), *(ends if days == 30 else [])]
        columns += behind.agg(*found).get_columns()[2:]
    frame = frame.with_columns(columns).with_columns(
        *(pl.col(f"terminal_risk_{days}d").fill_null(0) for days in DAYS),
        *(_days_since(name) for name in ("first", "last")),
        (pl.col("latest_row") - pl.col("last_row")).alias("terminal_legitimate_since_fraud"),
    )
    return frame.drop("row", "fraud_at", "fraud_row", "first", "last", "latest_row", "last_row")


def _days_since(name: str) -> Any:
    import polars as pl

    since = (pl.col("event_time") - pl.col(name)).dt.total_microseconds() / DAY
    return since.alias(f"terminal_days_since_{name}_fraud")


ENGINES: dict[str, Callable[[Path], tuple[float, pa.Table]]] = {"pandas": pandas_features, "polars": polars_features}
