"""The skew check: does the service compute of a raw event what the lake holds of it?

Past events go through the bento's own way (reader, history, compiled text, embedded DuckDB), and each number is
compared with the row that training would read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake
from mlplatform.serving.raw.computing import Computing, Event
from mlplatform.serving.raw.keeper import PastKeeper
from mlplatform.serving.raw.settings import RawSettings

__all__ = ["SkewDifference", "SkewReport", "check_skew"]

TOLERANCE = 1e-9
"""Relative: sums in another order round differently; skew moves a feature by far more."""
_BATCH = 32


@dataclass(frozen=True)
class SkewDifference:
    """One value that the service would have given otherwise. `offline`: in the lake; `served`: by the bento."""

    key: Any
    column: str
    offline: Any
    served: Any


@dataclass(frozen=True)
class SkewReport:
    """What was replayed, and all that differs."""

    events: int
    rows: int
    differences: tuple[SkewDifference, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that differ in at least one row."""
        return tuple(dict.fromkeys(difference.column for difference in self.differences))


def check_skew(settings: RawSettings, lake: Lake, events: int, seed: int = 0) -> SkewReport:
    """Replay up to `events` of the newest events through the service's way of computing features.

    Raises:
        LakeError: the lake holds none of what is needed, or the text cannot run on it.
    """
    keeper = PastKeeper(lake, settings.query)
    keeper.refresh()
    if keeper.past is None:
        raise LakeError(f"the history cannot be read: {keeper.problem}")
    with lake.read(keeper.snapshot) as con:
        asked = _asked(con, settings, keeper.past.complete_from, events, seed)
        if not asked:
            raise LakeError(f"{settings.query.spine} has no recent rows to replay; materialise the features first")
        offline = _offline(con, settings, asked)
    computing = Computing.of(settings, keeper)
    differences: list[SkewDifference] = []
    rows = 0
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        read, problems = computing.reader.read(batch)
        differences += [
            SkewDifference(batch[wrong.row], wrong.field, "in the lake", f"{wrong.problem}; allowed: {wrong.allowed}")
            for wrong in problems
        ]
        if problems:
            continue
        served = {row[settings.query.key]: row for found in computing.run(read, keeper.past) for row in found}
        expected = {key: row for event in read for key, row in offline.get(_identity(event), {}).items()}
        rows += len(expected)
        differences += [difference for key, row in expected.items() for difference in _compare(key, row, served)]
    computing.engine.close()
    return SkewReport(len(asked), rows, tuple(differences))


def _asked(
    con: duckdb.DuckDBPyConnection, settings: RawSettings, since: Any, events: int, seed: int
) -> list[dict[str, Any]]:
    """Events as an application would have sent them, drawn from the spine."""
    query, fields = settings.query, ", ".join(settings.asked_by.fields)
    where = f"WHERE {query.time} >= $since" if since is not None else ""
    drawn = con.execute(
        f"SELECT {fields} FROM (SELECT DISTINCT {fields} FROM {query.spine} {where}) "
        f"ORDER BY hash(concat_ws('|', {fields}, {int(seed)})) LIMIT {int(events)}",
        {"since": since} if since is not None else None,
    )
    return list(drawn.to_arrow_table().to_pylist())


def _offline(
    con: duckdb.DuckDBPyConnection, settings: RawSettings, asked: list[dict[str, Any]]
) -> dict[tuple[Any, ...], dict[Any, dict[str, Any]]]:
    """Event -> key -> the row of features in the lake."""
    import pyarrow as pa

    query, fields = settings.query, settings.asked_by.fields
    con.register("_asked", pa.Table.from_pylist(asked))
    same = " AND ".join(f"s.{name} = a.{name}" for name in fields)
    told = ", ".join(f"a.{name} AS _asked_{name}" for name in fields)
    rows = con.execute(
        f"SELECT {told}, f.* FROM _asked AS a JOIN {query.spine} AS s ON {same} "
        f"JOIN {query.table} AS f ON f.{query.key} = s.{query.key}"
    ).to_arrow_table()
    con.unregister("_asked")
    found: dict[tuple[Any, ...], dict[Any, dict[str, Any]]] = {}
    for row in rows.to_pylist():
        event = tuple(row.pop(f"_asked_{name}") for name in fields)
        found.setdefault(event, {})[row[query.key]] = row
    return found


def _identity(event: Event) -> tuple[Any, ...]:
    return tuple(event.values())


def _compare(key: Any, offline: Mapping[str, Any], served: Mapping[Any, Mapping[str, Any]]) -> list[SkewDifference]:
    row = served.get(key)
    if row is None:
        return [SkewDifference(key, "", "a row", "no row")]
    return [
        SkewDifference(key, name, value, row.get(name))
        for name, value in offline.items()
        if not _equal(value, row.get(name))
    ]


def _equal(left: Any, right: Any) -> bool:
    """Numbers up to rounding, whatever their type; NaN and null are both "not known"."""
    left, right = _known(left), _known(right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(left == right)


def _known(value: Any) -> Any:
    from decimal import Decimal

    if isinstance(value, Decimal):
        return float(value)
    return None if isinstance(value, float) and math.isnan(value) else value
