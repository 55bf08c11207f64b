"""The handbook's protocol (chapters 4 and 5): train one week, wait for the labels, test one week, judge by card."""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.ml.metrics import auc, average_precision, card_precision_at_k

__all__ = ["HANDBOOK_FEATURES", "Figures", "Weeks", "both_feature_sets", "figures", "weeks"]

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
WINDOWS = (1, 7, 30)
HANDBOOK_FEATURES = (
    "amount",
    "hb_weekend",
    "hb_night",
    *(f"hb_{name}_{days}" for name in ("customer_count", "customer_mean") for days in WINDOWS),
    *(f"hb_{name}_{days}" for name in ("terminal_count", "terminal_risk") for days in WINDOWS),
)


@dataclass(frozen=True)
class Weeks:
    """Rows of the training week and of the test week; customers known to be compromised are not in the test."""

    train: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Figures:
    """The three figures the handbook publishes, each in 0..1."""

    auc: float
    average_precision: float
    card_precision_100: float


def weeks(frame: pd.DataFrame, train_start: str) -> Weeks:
    """Cut as the handbook does: a customer leaves the test on the day its fraud becomes known (7 days late)."""
    day = (frame["event_time"] - pd.Timestamp(train_start)).dt.days.where(frame["event_time"] >= train_start, -1)
    frame = frame.assign(day=day)
    train = frame[frame["day"].between(0, TRAIN_DAYS - 1)]
    frauds = frame[frame["is_fraud"] == 1]
    known = set(train.loc[train["is_fraud"] == 1, "customer_id"])
    kept = []
    for number in range(TEST_DAYS):
        known |= set(frauds.loc[frauds["day"] == TRAIN_DAYS + number - 1, "customer_id"])
        today = frame[frame["day"] == TRAIN_DAYS + DELAY_DAYS + number]
        kept.append(today[~today["customer_id"].isin(known)])
    return Weeks(train, pd.concat(kept))


def figures(test: pd.DataFrame, scores: npt.NDArray[np.float64]) -> Figures:
    """`scores` in the order of `test`, any scale."""
    labels = test["is_fraud"].to_numpy(dtype=np.int64)
    cards = card_precision_at_k(test["day"], test["customer_id"], labels, scores, 100)
    return Figures(auc(labels, scores), average_precision(labels, scores), cards)


def both_feature_sets(transactions: pd.DataFrame, query: FeatureQuery, first: str, last: str) -> pd.DataFrame:
    """Transactions of [first, last) with this platform's features and with the handbook's (`hb_...`)."""
    history = transactions[
        (transactions["event_time"] >= pd.Timestamp(first) - pd.Timedelta(days=query.history[0].lookback_days))
        & (transactions["event_time"] < last)
    ].assign(label=lambda rows: rows["is_fraud"])
    with duckdb.connect() as con:
        con.register("_history", history)
        past = con.sql("FROM _history").to_arrow_table()
        spine = con.sql(f"FROM _history WHERE event_time >= TIMESTAMP '{first}'").to_arrow_table()
        ours = query.run(spine, {query.history[0].table: past})
        con.register("_ours", ours)
        return con.sql(
            f"SELECT o.*, h.* EXCLUDE (transaction_id, event_time, amount) FROM ({_HANDBOOK}) h "
            "JOIN _ours o USING (transaction_id) ORDER BY transaction_id"
        ).df()


def _window(entity: str, days: int, delay: int = 0) -> str:
    span = f"RANGE BETWEEN {(days + delay) * 86400} PRECEDING AND {delay * 86400} PRECEDING"
    return f"OVER (PARTITION BY {entity} ORDER BY epoch(event_time)::BIGINT {span})"


_HANDBOOK = (
    "SELECT transaction_id, event_time, amount, customer_id, terminal_id, is_fraud, "
    + ", ".join(
        [
            "(hour(event_time) <= 6)::INT AS hb_night",
            "(isodow(event_time) >= 6)::INT AS hb_weekend",
            *(f"count(*) {_window('customer_id', d)} AS hb_customer_count_{d}" for d in WINDOWS),
            *(f"avg(amount) {_window('customer_id', d)} AS hb_customer_mean_{d}" for d in WINDOWS),
            *(f"count(*) {_window('terminal_id', d, DELAY_DAYS)} AS hb_terminal_count_{d}" for d in WINDOWS),
            *(
                f"coalesce(avg(is_fraud) {_window('terminal_id', d, DELAY_DAYS)}, 0) AS hb_terminal_risk_{d}"
                for d in WINDOWS
            ),
        ]
    )
    + " FROM _history"
)
