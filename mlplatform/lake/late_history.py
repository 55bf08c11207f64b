"""What features would have been on the lake as it was when an answer was given: tells late history from skew.

The same text runs on the history of then and on that of now. A value that comes out differently has changed because
rows of its past reached the lake, or were corrected, after the answer: nobody could have served it. One that comes out
the same was known, and a service that gave another has computed something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.leakage import load_history, same_value

__all__ = ["MOST_MOMENTS", "Answered", "Then", "features_then"]

MOST_MOMENTS = 40
"""Snapshots of the lake that one call looks back to: each is read and computed."""


@dataclass(frozen=True)
class Answered:
    """An example of the lake that was answered. `at`: when, UTC without a zone."""

    key: Any
    at: datetime


@dataclass(frozen=True)
class Then:
    """Features of one example, by column: as they would have been then, and are now, by one text."""

    then: Mapping[str, Any]
    now: Mapping[str, Any]

    def changed(self, column: str) -> bool:
        """Whether its past has changed since."""
        return not same_value(self.then.get(column), self.now.get(column))


def features_then(
    lake: Lake, query: FeatureQuery, answered: Sequence[Answered], earlier: timedelta = timedelta(0)
) -> dict[Answered, Then]:
    """On the lake as it was `earlier` than each answer. Answers whose lake of then is no longer kept are left out, and
    so are those beyond MOST_MOMENTS."""
    found: dict[Answered, Then] = {}
    for snapshot, group in _by_snapshot(lake, answered, earlier):
        keys = sorted({each.key for each in group})
        with lake.read() as con:
            spine = con.execute(
                f"FROM {query.spine} WHERE {query.key} IN (SELECT unnest(?)) ORDER BY {query.key}", [keys]
            ).to_arrow_table()
            now = _computed(con, query, spine)
        try:
            with lake.read(snapshot) as con:
                then = _computed(con, query, spine)
        except duckdb.CatalogException:
            continue  # the tables were not there yet, so nothing was known
        found |= {each: Then(then[each.key], now[each.key]) for each in group if each.key in then and each.key in now}
    return found


def _by_snapshot(lake: Lake, answered: Sequence[Answered], earlier: timedelta) -> Iterator[tuple[int, list[Answered]]]:
    """The newest snapshot that an answer can have known, and the answers that it is the newest for; newest first."""
    with lake.read() as con:
        taken = con.execute(
            "SELECT snapshot_id, snapshot_time FROM ducklake_snapshots('lake') ORDER BY snapshot_id"
        ).fetchall()
    times = [(int(number), time.astimezone(UTC).replace(tzinfo=None)) for number, time in taken]
    groups: dict[int, list[Answered]] = {}
    for each in answered:
        known = [number for number, time in times if time <= each.at - earlier]
        if known:
            groups.setdefault(known[-1], []).append(each)
    for number in sorted(groups, reverse=True)[:MOST_MOMENTS]:
        yield number, groups[number]


def _computed(con: duckdb.DuckDBPyConnection, query: FeatureQuery, spine: pa.Table) -> dict[Any, dict[str, Any]]:
    if not spine.num_rows:
        return {}
    history = {table.table: load_history(con, query, table, spine, table.lookback_days) for table in query.history}
    return {row[query.key]: row for row in query.run(spine, history).to_pylist()}
