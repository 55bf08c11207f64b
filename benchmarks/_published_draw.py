"""The very transactions behind the Fraud Detection Handbook's published figures, drawn again from its seeds.

The handbook (Le Borgne et al., 2022, chapter 3) seeds Python's and NumPy's old generators per customer and per day.
The same calls in the same order give its data set: 1,754,155 transactions, 14,681 of them fraud, 67,240 in the training
week and 58,264 in the test. How hard a week is depends on the draw, so only this draw can stand beside its figures.
"""

import random

import numpy as np
import pandas as pd

__all__ = ["published_draw"]

CUSTOMERS, TERMINALS, DAYS = 5000, 10000, 183
ROWS, FRAUDS = 1_754_155, 14_681


def published_draw() -> pd.DataFrame:
    """Columns as the simulator's; about 20 s of one core. Raises AssertionError if it is not the published data set."""
    rows = [row for customer, profile in enumerate(_customers()) for row in _transactions(customer, *profile)]
    frame = pd.DataFrame(rows, columns=["seconds", "customer_id", "terminal_id", "amount"])
    frame["event_time"] = pd.Timestamp("2018-04-01") + pd.to_timedelta(frame["seconds"], unit="s")
    frame = frame.sort_values("event_time").reset_index(drop=True)
    frame = _with_fraud(frame)
    assert (len(frame), int(frame["is_fraud"].sum())) == (ROWS, FRAUDS)
    return frame


def _customers() -> list[tuple[list[int], float, float]]:
    """Per customer: the terminals within reach, mean amount, transactions a day."""
    np.random.seed(0)
    profiles = [np.random.uniform([0, 0, 5, 0], [100, 100, 100, 4]) for _ in range(CUSTOMERS)]
    np.random.seed(1)
    terminals = np.random.uniform(0, 100, (TERMINALS, 2))
    return [
        (np.flatnonzero(np.sqrt(((terminals - at) ** 2).sum(1)) < 5).tolist(), mean, rate)
        for *at, mean, rate in profiles
    ]


def _transactions(customer: int, reach: list[int], mean: float, rate: float) -> list[tuple[int, int, int, float]]:
    random.seed(customer)
    np.random.seed(customer)
    rows = []
    for day in range(DAYS):
        for _ in range(np.random.poisson(rate)):
            seconds = int(np.random.normal(86400 / 2, 20000))
            if not 0 < seconds < 86400:
                continue
            amount = np.random.normal(mean, mean / 2)
            amount = np.random.uniform(0, mean * 2) if amount < 0 else amount
            if reach:
                rows.append((seconds + day * 86400, customer, random.choice(reach), round(float(amount), 2)))
    return rows


def _with_fraud(frame: pd.DataFrame) -> pd.DataFrame:
    day = (frame["seconds"] // 86400).to_numpy()
    amount = frame["amount"].to_numpy().copy()
    fraud = amount > 220
    terminal_ids, customer_ids = pd.Series(range(TERMINALS)), pd.Series(range(CUSTOMERS))
    for start in range(int(day.max())):
        taken = terminal_ids.sample(n=2, random_state=start).to_numpy()
        fraud |= (day >= start) & (day < start + 28) & frame["terminal_id"].isin(taken).to_numpy()
    for start in range(int(day.max())):
        taken = customer_ids.sample(n=3, random_state=start).to_numpy()
        rows = np.flatnonzero((day >= start) & (day < start + 14) & frame["customer_id"].isin(taken).to_numpy())
        random.seed(start)
        stolen = random.sample(list(rows), k=len(rows) // 3)
        amount[stolen] *= 5
        fraud[stolen] = True
    known_at = frame["event_time"] + pd.Timedelta(days=7)
    ids = np.arange(len(frame), dtype=np.int64)
    return frame.assign(amount=amount, is_fraud=fraud.astype("int8"), label_known_at=known_at, transaction_id=ids)
