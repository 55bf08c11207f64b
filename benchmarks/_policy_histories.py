"""The two histories of `benchmarks.policies`: fraud with a drift put in, and electricity demand as it was."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from benchmarks._demand_panels import electricity as electricity_panel
from mlplatform.home import Home
from mlplatform.resources.dbt import compile_features
from mlplatform.spec import PythonSource, UseCase, load_declaration
from mlplatform.use_cases.fraud.source import Reader

__all__ = ["History", "electricity", "fraud"]

FIRST = date(2018, 4, 1)


@dataclass(frozen=True)
class History:
    """Examples in order of time, and the use case as far as it was made smaller."""

    spec: UseCase
    rows: pd.DataFrame


def fraud(days: int, customers: int, drift_from: int, seed: int, size: float = 3.0) -> History:
    """The simulator with fewer people; from day `drift_from` on everybody spends `size` times as much."""
    source = PythonSource(kind="python", name="transactions", key=["transaction_id"], start=FIRST.isoformat())
    drift = {"start_day": drift_from, "kind": "amounts", "size": size}
    params = {"days": days, "customers": customers, "terminals": 2 * customers, "seed": seed, "drift": drift}
    made = Reader(params, source).read(FIRST, FIRST + timedelta(days=days))
    with TemporaryDirectory() as temp:
        query = compile_features(Home(Path(temp)), "fraud")
    rows = made.to_pandas().assign(label=lambda all_rows: all_rows["is_fraud"])
    spine = _arrow(rows)
    features = query.run(spine, {query.history[0].table: spine}).to_pandas()
    told = rows[["transaction_id", "label", "label_known_at"]]
    joined = features.merge(told, on="transaction_id", validate="one_to_one")
    spec = load_declaration("fraud").spec
    # Before, nobody is known to be a fraudster yet, and what looks back 45 days sees less than it will.
    filled = joined["event_time"] >= pd.Timestamp(FIRST) + pd.Timedelta(days=spec.leakage.lookback_days)
    return History(spec, joined[filled].sort_values(["event_time", "transaction_id"], ignore_index=True))


def electricity() -> History:
    """Half-hours of 2014; the split is shortened so that most of the year is left to decide in, week by week."""
    panel = electricity_panel("2014-12-17", 1)
    declared = load_declaration("electricity").spec
    written: dict[str, Any] = declared.model_dump()
    written["training"]["split"] |= {"train_days": 70, "tune_days": 21, "test_days": 14}
    # A week has 336 half-hours.
    written["drift"] |= {"window_days": 7, "min_rows": 300}
    written["policy"] |= {"cool_down_days": 14, "min_new_labelled_rows": 300}
    rows = panel.rows.drop(columns="series").sort_values(["event_time", "example_id"], ignore_index=True)
    return History(UseCase.model_validate(written), rows)


def _arrow(rows: pd.DataFrame) -> Any:
    import pyarrow as pa

    return pa.Table.from_pandas(rows, preserve_index=False)
