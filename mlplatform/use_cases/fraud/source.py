"""Simulated card transactions, by the published recipe of the Fraud Detection Handbook.

Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection -
Practical Handbook" (2022), chapter 3. Its generator loops over customers; this one is vectorised over a day, and every
day draws from its own seed, so that any day can be made alone and is the same as when made with others.

One difference in method: a compromised customer's transactions are taken with probability 1/3 each, where the handbook
samples exactly a third of the 14 days (it has all days at once).
"""

import hashlib
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.spatial import cKDTree

from mlplatform.ingest.base import parse_params
from mlplatform.spec import Declared, PythonSource

__all__ = ["Drift", "Params", "Reader"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

GRID = 100.0
RADIUS = 5.0
DAY_SECONDS = 86_400
FRAUD_AMOUNT = 220.0
TERMINALS_A_DAY, TERMINAL_DAYS = 2, 28
CUSTOMERS_A_DAY, CUSTOMER_DAYS = 3, 14
FRAUD_FACTOR = 5.0
LABEL_DELAY = np.timedelta64(7, "D")
IDS_A_DAY = 1_000_000  # a day of the largest allowed population (400,000 customers x 2) stays below it

# The seed sequences of one simulation: [seed, stream] or [seed, stream, day].
_WORLD, _DAY, _COMPROMISED = 0, 1, 2

SCHEMA = pa.schema(
    {
        "transaction_id": pa.int64(),
        "event_time": pa.timestamp("us"),
        "customer_id": pa.int64(),
        "terminal_id": pa.int64(),
        "amount": pa.float64(),
        "is_fraud": pa.int32(),
        "label_known_at": pa.timestamp("us"),
        "fraud_scenario": pa.int32(),
    }
)


class Drift(Declared):
    """A lasting change of behaviour from one day on. Labels stay as the recipe gave them; days before are untouched."""

    start_day: Annotated[int, Field(ge=0)]
    """First changed day, counted from `first_day`."""
    kind: Literal["amounts", "night"]
    """`amounts`: everybody spends `size` times as much, so large amounts are no longer a sign of fraud: a model trained
    before raises false alarms. `night`: the clock of all transactions moves by `size` hours (round midnight): features
    drift, but fraud does not depend on the hour, so a retraining has little to gain."""
    size: PositiveFloat


class Params(Declared):
    """What may stand under `params` of the source. The defaults are the handbook's data set."""

    first_day: date = date(2018, 4, 1)
    days: PositiveInt = 183
    customers: Annotated[int, Field(ge=CUSTOMERS_A_DAY, le=400_000)] = 5_000
    terminals: Annotated[int, Field(ge=TERMINALS_A_DAY)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0
    drift: Drift | None = None


class Reader:
    """The simulator as a source: `params` decide everything, so the same params give the same rows on every machine."""

    def __init__(self, params: dict[str, Any], spec: PythonSource) -> None:
        self.params = parse_params(Params, params, spec)

    def available(self) -> tuple[date, date]:
        """First day, and the day behind the last."""
        return self.params.first_day, self.params.first_day + timedelta(days=self.params.days)

    def read(self, start: date, end: date) -> pa.Table:
        """Transactions of the days in [start, end) that exist, in order of time; columns as in `SCHEMA`."""
        first, last = self.available()
        days = range((max(start, first) - first).days, (min(end, last) - first).days)
        tables = [_as_table(_simulate_day(self._world, self.params, day), day, first) for day in days]
        return pa.concat_tables(tables).combine_chunks() if tables else SCHEMA.empty_table()

    def fingerprint(self) -> str:
        """Hash of the parameters."""
        return hashlib.sha256(self.params.model_dump_json().encode()).hexdigest()[:16]

    @cached_property
    def _world(self) -> "_World":
        return _build_world(self.params)


@dataclass(frozen=True)
class _World:
    """Customers (arrays of length c) and the terminals each can reach, as one flat list with offsets."""

    mean_amount: Floats
    daily_rate: Floats
    reachable: npt.NDArray[np.int32]
    offset: Ints
    count: Ints


@dataclass(frozen=True)
class _Transactions:
    """One day's rows as arrays of one length; `seconds` since midnight."""

    seconds: Ints
    customer: Ints
    terminal: Ints
    amount: Floats
    scenario: npt.NDArray[np.int32]


def _take(rows: _Transactions, which: npt.NDArray[Any]) -> _Transactions:
    """The rows of a mask or of positions, in that order."""
    return _Transactions(**{field.name: getattr(rows, field.name)[which] for field in fields(rows)})


def _rng(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(entropy))


def _build_world(params: Params) -> _World:
    rng = _rng(params.seed, _WORLD)
    customers = rng.uniform(0, GRID, (params.customers, 2))
    mean_amount = rng.uniform(5, 100, params.customers)
    daily_rate = rng.uniform(0, 4, params.customers)
    reachable = _terminals_within_reach(customers, rng.uniform(0, GRID, (params.terminals, 2)))
    count = np.array([len(near) for near in reachable], dtype=np.int64)
    return _World(mean_amount, daily_rate, np.concatenate(reachable), np.cumsum(count) - count, count)


def _terminals_within_reach(customers: Floats, terminals: Floats) -> list[npt.NDArray[np.int32]]:
    """Per customer the ascending terminal numbers within `RADIUS`."""
    tree = cKDTree(terminals)
    # The tree answers with lists of Python integers, 40 bytes each: in chunks they are few at a time.
    chunks = (
        tree.query_ball_point(customers[i : i + 1000], RADIUS, return_sorted=True)
        for i in range(0, len(customers), 1000)
    )
    return [np.asarray(numbers, dtype=np.int32) for near in chunks for numbers in near]


def _simulate_day(world: _World, params: Params, day: int) -> _Transactions:
    rng = _rng(params.seed, _DAY, day)
    drawn = _draw_transactions(world, rng)
    labelled = _commit_fraud(drawn, params, day, rng)
    drifted = _apply_drift(labelled, params.drift, day)
    return _take(drifted, np.lexsort((drifted.customer, drifted.seconds)))


def _draw_transactions(world: _World, rng: np.random.Generator) -> _Transactions:
    customer = np.repeat(np.arange(len(world.daily_rate)), rng.poisson(world.daily_rate))
    seconds = rng.normal(DAY_SECONDS / 2, 20_000, len(customer)).astype(np.int64)
    mean = world.mean_amount[customer]
    amount = rng.normal(mean, mean / 2)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean), amount).round(2)
    pick = world.offset[customer] + (rng.random(len(customer)) * world.count[customer]).astype(np.int64)
    # As in the handbook: what falls outside the day is dropped (3 %), and so is a customer who reaches no terminal.
    inside = (seconds > 0) & (seconds < DAY_SECONDS) & (world.count[customer] > 0)
    rows = _Transactions(seconds, customer, pick, amount, np.zeros(len(customer), np.int32))
    kept = _take(rows, inside)
    return replace(kept, terminal=world.reachable[kept.terminal].astype(np.int64))


def _commit_fraud(rows: _Transactions, params: Params, day: int, rng: np.random.Generator) -> _Transactions:
    """The three scenarios, in the handbook's order: a later one overwrites the scenario of an earlier one."""
    terminals = _compromised(params, day, TERMINAL_DAYS, 0)
    customers = _compromised(params, day, CUSTOMER_DAYS, 1)
    stolen = np.isin(rows.customer, customers) & (rng.random(len(rows.customer)) < 1 / 3)
    scenario = np.where(rows.amount > FRAUD_AMOUNT, 1, 0)
    scenario = np.where(np.isin(rows.terminal, terminals), 2, scenario)
    scenario = np.where(stolen, 3, scenario).astype(np.int32)
    amount = np.where(stolen, rows.amount * FRAUD_FACTOR, rows.amount).round(2)
    return replace(rows, amount=amount, scenario=scenario)


def _compromised(params: Params, day: int, lasts: int, which: Literal[0, 1]) -> Ints:
    """Terminals (`which` 0) or customers (1) in the hands of fraudsters on this day; nobody is before day 0."""
    begun = range(max(0, day - lasts + 1), day + 1)
    return np.concatenate([_newly_compromised(params, earlier)[which] for earlier in begun])


def _newly_compromised(params: Params, day: int) -> tuple[Ints, Ints]:
    rng = _rng(params.seed, _COMPROMISED, day)
    terminals = rng.choice(params.terminals, TERMINALS_A_DAY, replace=False)
    return terminals, rng.choice(params.customers, CUSTOMERS_A_DAY, replace=False)


def _apply_drift(rows: _Transactions, drift: Drift | None, day: int) -> _Transactions:
    if drift is None or day < drift.start_day:
        return rows
    if drift.kind == "amounts":
        return replace(rows, amount=(rows.amount * drift.size).round(2))
    return replace(rows, seconds=(rows.seconds + int(drift.size * 3600)) % DAY_SECONDS)


def _as_table(rows: _Transactions, day: int, first_day: date) -> pa.Table:
    midnight = np.datetime64(first_day + timedelta(days=day), "us")
    event_time = midnight + rows.seconds.astype("timedelta64[s]")
    columns = {
        "transaction_id": day * IDS_A_DAY + np.arange(len(rows.seconds)),
        "event_time": event_time,
        "customer_id": rows.customer,
        "terminal_id": rows.terminal,
        "amount": rows.amount,
        "is_fraud": (rows.scenario > 0).astype(np.int32),
        "label_known_at": event_time + LABEL_DELAY,
        "fraud_scenario": rows.scenario,
    }
    return pa.table(columns, schema=SCHEMA)
