"""The leakage check: does the lake hold features that could not have been known at their own time?

Sampled rows are computed again by the same text on history from which everything later has been cut off. An honest
feature comes out the same; one that looked ahead does not.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.errors import LeakageError
from mlplatform.lake.feature_query import FeatureQuery, HistoryTable
from mlplatform.lake.lake import Lake

__all__ = ["Difference", "LeakageReport", "check_leakage", "load_history", "same_value"]

# Sums over other row groups round differently; a leak moves a feature by far more.
_TOLERANCE = 1e-9
_RECENT = timedelta(days=14)


@dataclass(frozen=True)
class Difference:
    """A feature that came out differently when the future was cut off."""

    key: Any
    time: datetime
    column: str
    in_lake: Any
    rebuilt: Any


@dataclass(frozen=True)
class LeakageReport:
    """What was rebuilt, and every value that differs."""

    rows: int
    columns: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def leaking(self) -> tuple[str, ...]:
        """Columns that differ in at least one row."""
        return tuple(dict.fromkeys(difference.column for difference in self.differences))


def check_leakage(
    query: FeatureQuery, lake: Lake, as_of: datetime, rows: int, seed: int, lookback_days: int | None = None
) -> LeakageReport:
    """Rebuild `rows` feature rows, each on what was known at its own time.

    A third each is drawn from the last two weeks before `as_of`, from all time, and from rows with a label above the
    mean (in fraud: the frauds, around which a leaking label shows; a plain sample would hardly hold one).
    `lookback_days` overrides how much history is loaded.

    Raises:
        LeakageError: there are no rows to check, or `lookback_days` is shorter than what the query declares.
    """
    needed = max((table.lookback_days for table in query.history), default=0)
    if lookback_days is not None and lookback_days < needed:
        raise LeakageError(
            f"leakage.lookback_days is {lookback_days}, but the features of {query.use_case} look back {needed} days; "
            "raise it in defs.yaml"
        )
    days = needed if lookback_days is None else lookback_days
    with lake.read() as con:
        spine = _sample(con, query, as_of, rows, seed)
        if not spine.num_rows:
            raise LeakageError(f"{query.table} has no rows up to {as_of}; materialise it before checking it")
        stored = _stored(con, query, spine)
        history = {table.table: load_history(con, query, table, spine, days) for table in query.history}
    differences = [
        found for row in range(spine.num_rows) for found in _rebuild(query, spine.slice(row, 1), history, stored)
    ]
    columns = tuple(name for name in stored.column_names if name != query.key)
    return LeakageReport(spine.num_rows, columns, tuple(differences))


def _sample(con: duckdb.DuckDBPyConnection, query: FeatureQuery, as_of: datetime, rows: int, seed: int) -> pa.Table:
    """Spine rows of the sample, in the order of their key."""
    columns = [name for name, *_ in con.execute(f"DESCRIBE {query.spine}").fetchall()]
    labels = query.learned_later(columns)
    telling = " OR ".join(f"{label} > (SELECT avg({label}) FROM {query.spine})" for label in sorted(labels)) or "true"
    strata = (f"{query.time} > $as_of - INTERVAL {_RECENT.days} DAY", "true", telling)
    draws = " UNION ".join(
        f"(SELECT {query.key} FROM {query.spine} WHERE {query.time} <= $as_of AND ({stratum}) "
        f"ORDER BY hash(concat({query.key}, ':{int(seed)}:{number}')) LIMIT {-(-rows // len(strata))})"
        for number, stratum in enumerate(strata)
    )
    return con.execute(
        f"FROM {query.spine} WHERE {query.key} IN ({draws}) ORDER BY {query.key} LIMIT {int(rows)}", {"as_of": as_of}
    ).to_arrow_table()


def _stored(con: duckdb.DuckDBPyConnection, query: FeatureQuery, spine: pa.Table) -> pa.Table:
    con.register("_spine", spine)
    return con.execute(f"FROM {query.table} WHERE {query.key} IN (SELECT {query.key} FROM _spine)").to_arrow_table()


def load_history(
    con: duckdb.DuckDBPyConnection, query: FeatureQuery, table: HistoryTable, spine: pa.Table, days: int
) -> pa.Table:
    """Every row that a sampled row may look at, and more: the cut comes later, one row at a time."""
    con.register("_spine", spine)
    near = " OR ".join(f"h.{name} IN (SELECT {name} FROM _spine)" for name in table.entities) or "true"
    return con.execute(
        f"SELECT h.* FROM {table.table} AS h WHERE ({near}) AND h.{table.time} BETWEEN "
        f"(SELECT min({query.time}) FROM _spine) - INTERVAL {int(days)} DAY AND (SELECT max({query.time}) FROM _spine)"
    ).to_arrow_table()


def _rebuild(query: FeatureQuery, row: pa.Table, history: dict[str, pa.Table], stored: pa.Table) -> list[Difference]:
    moment = row[query.time][0].as_py()
    known = query.learned_later(row.column_names)
    past = {table.table: _cut(history[table.table], moment, table.time, table.known_at) for table in query.history}
    rebuilt = query.run(_cut(row, moment, query.time, known), past).to_pylist()[0]
    key = rebuilt[query.key]
    kept: dict[str, Any] = next((found for found in stored.to_pylist() if found[query.key] == key), {})
    return [
        Difference(key, moment, name, kept.get(name), value)
        for name, value in rebuilt.items()
        if not same_value(kept.get(name), value)
    ]


def _cut(rows: pa.Table, moment: datetime, time: str, known_at: Any) -> pa.Table:
    """The rows as they were known at `moment`: no later rows, and no values that were learned later."""
    later = [f"CASE WHEN {at} <= $moment THEN {name} END AS {name}" for name, at in known_at.items()]
    later += [f"CASE WHEN {at} <= $moment THEN {at} END AS {at}" for at in sorted(set(known_at.values()))]
    replace = f" REPLACE ({', '.join(later)})" if later else ""
    with duckdb.connect() as con:
        con.register("_all", rows)
        return con.execute(f"SELECT *{replace} FROM _all WHERE {time} <= $moment", {"moment": moment}).to_arrow_table()


def same_value(left: Any, right: Any) -> bool:
    """Whether two values of a feature are one, up to the rounding of sums in another order."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) or (
            math.isnan(left) and math.isnan(right)
        )
    return bool(left == right)
