"""How fresh the sources are, from what the lake holds of them."""

from datetime import date, datetime
from typing import Any

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import Declaration, Freshness, Source
from mlplatform.watchdog.checks import SourceState

__all__ = ["source_states"]


def source_states(uc: Declaration, lake: Lake) -> list[SourceState]:
    """Every source of a use case; those without `freshness` too, since others are compared with them."""
    if not lake.catalog.exists() or not any(source.freshness for source in uc.spec.sources):
        return []
    with lake.read() as con:
        return [_state(con, uc, source) for source in uc.spec.sources]


def _state(con: Any, uc: Declaration, source: Source) -> SourceState:
    table = f"raw_{uc.spec.name}.{source.name}"
    event, load = None, None
    if table_exists(con, table):
        time = f"max({source.time_column})" if source.time_column else "NULL"
        event, load = con.execute(f"SELECT {time}::TIMESTAMP, max(_loaded_at)::TIMESTAMP FROM {table}").fetchone()
    return SourceState(source.name, source.freshness or Freshness(), event, load, _complete(source, event))


def _complete(source: Source, newest: datetime | None) -> bool:
    """Rows of its last day have come. (That all of them have, nobody can know.)"""
    if source.end is None or newest is None:
        return False
    return newest >= datetime.combine(date.fromisoformat(source.end), datetime.min.time())
