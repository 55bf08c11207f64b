"""Features as they were served beside those in the lake: of real requests, each value that differs."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.predictions import journalled_key, prediction_table, register_hash
from mlplatform.spec import UseCase

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["TOLERANCE", "served_skew"]

TOLERANCE = 1e-9
"""Relative."""


def served_skew(
    lake: Lake, spec: UseCase, since: datetime, hashed: Callable[[str], str] | None = None, key: str | None = None
) -> "tuple[int, pa.Table]":
    """How many predictions since then could be compared, and what differs.

    A prediction can be compared when it names its example and the lake has the features of that. Columns of the
    differences: prediction_id, predicted_at, event_time, model_version, column, served, offline (as text); with `key`,
    the column that features are found by, `example`, its value, and `known_from`: when the past that was served from
    was read at the latest (by key, that is when the bento was deployed), and `other_event`: whether the request told of
    another moment than the lake's row of its key. Features that the journal hashes or leaves
    out are not compared.
    """
    features = [name for name in spec.training.features if name not in spec.journal.hashed]
    with lake.read() as con:
        register_hash(con, spec, hashed)
        have = {str(row[0]) for row in con.execute(f"DESCRIBE {spec.name}.features").fetchall()}
        compared = [name for name in features if name in have]
        keys = " AND ".join(f"{journalled_key(spec, name, 'f')} = l.{name}" for name in spec.entity_keys)
        pairs = ", ".join(
            f"{{'column': '{name}', 'served': l.features ->> '{name}', 'offline': f.{name}::VARCHAR, "
            f"'is_kept': json_exists(l.features, '{name}')}}"
            for name in compared
        )
        told = (
            f"f.{key} AS example, {_known_from(con, spec)} AS known_from, {_other_event(spec, have)} AS other_event, "
            if key
            else ""
        )
        con.execute(
            f"CREATE TEMP TABLE _served AS SELECT l.prediction_id, l.predicted_at, l.event_time, l.model_version, "
            f"{told}[{pairs}] AS pairs FROM {prediction_table(spec)} AS l JOIN {spec.name}.features AS f ON {keys} "
            "WHERE l.predicted_at >= ? AND l.role = 'champion'",
            [since],
        )
        row = con.execute("SELECT count(*) FROM _served").fetchone()
        differences = con.execute(
            f"SELECT * EXCLUDE pair, pair.column, pair.served, pair.offline "
            f"FROM (SELECT * EXCLUDE pairs, unnest(pairs) AS pair FROM _served) WHERE pair.is_kept AND {_DIFFERS} "
            "ORDER BY predicted_at, prediction_id, pair.column",
        ).to_arrow_table()
        con.execute("DROP TABLE _served")
    return (int(row[0]) if row else 0), differences


def _other_event(spec: UseCase, have: set[str]) -> str:
    """Who does not say when something happened is taken to speak of the moment of the request."""
    time = spec.event_time
    if spec.serving.lookup or time not in have:
        return "false"
    said = "l.event_time IS DISTINCT FROM l.predicted_at"
    return f"coalesce({said} AND l.event_time <> TRY_CAST(f.{time} AS TIMESTAMP), false)"


def _known_from(con: "duckdb.DuckDBPyConnection", spec: UseCase) -> str:
    """Rows that are found by key travel in the bento; else the service reads the past from the lake."""
    table = f"{spec.name}.deployment"
    if not spec.serving.lookup or not table_exists(con, table):
        return "l.predicted_at"
    deployed = f"SELECT max(deployed_at) FROM {table} AS d"
    same = "d.model_version = l.model_version AND d.deployed_at <= l.predicted_at"
    return f"coalesce(({deployed} WHERE {same}), l.predicted_at)"


_FLAG = "CASE lower({0}) WHEN 'true' THEN '1' WHEN 'false' THEN '0' WHEN 'nan' THEN NULL ELSE {0} END"
_DIFFERS = f"""(
    CASE
        WHEN TRY_CAST(pair.served AS DOUBLE) IS NOT NULL AND isfinite(TRY_CAST(pair.offline AS DOUBLE))
            THEN abs(TRY_CAST(pair.served AS DOUBLE) - TRY_CAST(pair.offline AS DOUBLE))
                > {TOLERANCE} * greatest(1, abs(TRY_CAST(pair.offline AS DOUBLE)))
        ELSE {_FLAG.format("pair.served")} IS DISTINCT FROM {_FLAG.format("pair.offline")}
    END
)"""
