"""Small transaction histories for tests of the feature query."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

__all__ = ["START", "transactions"]

START = datetime(2018, 4, 1)


def transactions(rows: int = 3000, days: int = 60, seed: int = 0, delay_days: float = 7) -> pa.Table:
    """Transactions as staging leaves them; few customers and terminals, many frauds, so that every feature moves."""
    rng = np.random.default_rng(seed)
    # Whole minutes: some transactions of one customer fall into the same instant.
    minutes = np.sort(rng.integers(0, days * 24 * 60, rows))
    moments = [START + timedelta(minutes=int(minute)) for minute in minutes]
    labels = rng.random(rows) < 0.2
    return pa.table(
        {
            "transaction_id": pa.array(range(rows), pa.int64()),
            "event_time": pa.array(moments, pa.timestamp("us")),
            "customer_id": pa.array(rng.integers(0, 8, rows), pa.int64()),
            "terminal_id": pa.array(rng.integers(0, 12, rows), pa.int64()),
            "amount": pa.array(np.where(labels, 5, 1) * rng.gamma(4, 10, rows).round(2), pa.float64()),
            "label": pa.array(labels.astype(int), pa.int8()),
            "label_known_at": pa.array([m + timedelta(days=delay_days) for m in moments], pa.timestamp("us")),
        }
    )
