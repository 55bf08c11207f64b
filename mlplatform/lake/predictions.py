"""Served predictions in the lake, and the labels that arrived for them since."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import UseCase

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "journalled_key",
    "new_outcomes",
    "not_served",
    "outcomes_table",
    "prediction_table",
    "register_hash",
    "served_features",
    "served_predictions",
    "withdrawn_outcomes",
]

Hash = Callable[[str], str]
_HAPPENED = "l.role <> 'question'"
"""What somebody only asked about (/score with `"remember": false`) has no outcome, whatever key it named."""


def prediction_table(spec: UseCase) -> str:
    """One row per prediction that a service gave."""
    return f"{spec.name}.prediction_log"


def outcomes_table(spec: UseCase) -> str:
    """One row per prediction whose label has arrived."""
    return f"{spec.name}.outcomes"


def judged_by(spec: UseCase, have: set[str]) -> list[str]:
    """Columns that a prediction is judged by beside its label, or in groups of, of those there are."""
    training = spec.training
    named = [training.weight, training.split.group, *training.task.columns, *training.gates.slices]
    keys = {*spec.entity_keys, spec.event_time, training.label, spec.label_known_at}
    return [name for name in dict.fromkeys(filter(None, named)) if name in have and name not in keys]


def new_outcomes(lake: Lake, spec: UseCase, as_of: datetime, hashed: Hash | None = None) -> "pa.Table":
    """Predictions whose label was known at `as_of` and is not among the outcomes yet, or has changed.

    `hashed`: what the journal did to the keys named in `journal.hashed`; needed where it names one.
    """
    with lake.read() as con:
        keys = ", ".join(f"{journalled_key(spec, name)} AS {name}" for name in spec.entity_keys)
        register_hash(con, spec, hashed)
        aside = _aside(con, spec)
        same = " AND ".join(f"f.{name} IS NOT DISTINCT FROM s.{name}" for name in spec.entity_keys)
        columns = "".join(f", {_kept(spec, name, place)} AS {name}" for name, place in aside.items())
        label, known_at = spec.training.label, spec.label_known_at
        on = " AND ".join(f"l.{name} = k.{name}" for name in spec.entity_keys)
        told = ", ".join(f"l.{name}" for name in ("prediction_id", *spec.entity_keys))
        sql = f"""
            WITH known AS (
                SELECT {keys}, s.{spec.event_time}, s.{label}, s.{known_at}{columns}
                FROM {spec.name}.spine AS s JOIN {spec.name}.features AS f ON {same}
                WHERE s.{label} IS NOT NULL AND s.{known_at} <= ?
            )
            SELECT {told}, k.{spec.event_time}, l.model_version, l.role, k.{label}, k.{known_at}
                {"".join(f", k.{name}" for name in aside)}
            FROM {prediction_table(spec)} AS l JOIN known AS k ON {on} AND {_HAPPENED}
        """
        if _has_all(con, outcomes_table(spec), [label, *aside]):
            sql += (
                f" LEFT JOIN {outcomes_table(spec)} AS o ON o.prediction_id = l.prediction_id "
                f"WHERE o.prediction_id IS NULL OR o.{label} IS DISTINCT FROM k.{label}"
            )
        return con.execute(sql, [as_of]).to_arrow_table()


def not_served(con: "duckdb.DuckDBPyConnection", spec: UseCase, table: str = "s") -> str:
    """Condition on a row of the features: no champion's answer about it is in the log. `keyed_hash` must be known."""
    if not table_exists(con, prediction_table(spec)):
        return "true"
    keys = " AND ".join(f"{journalled_key(spec, name, table)} = l.{name}" for name in spec.entity_keys)
    return f"NOT EXISTS (SELECT 1 FROM {prediction_table(spec)} AS l WHERE l.role = 'champion' AND {keys})"


def withdrawn_outcomes(lake: Lake, spec: UseCase, hashed: Hash | None = None) -> list[str]:
    """The predictions among the outcomes whose example is still there, and no longer has a label."""
    with lake.read() as con:
        if not table_exists(con, outcomes_table(spec)):
            return []
        register_hash(con, spec, hashed)
        on = " AND ".join(f"o.{name} = {journalled_key(spec, name)}" for name in spec.entity_keys)
        found = con.execute(
            f"SELECT o.prediction_id FROM {outcomes_table(spec)} AS o JOIN {spec.name}.spine AS s ON {on} "
            f"WHERE s.{spec.training.label} IS NULL"
        ).fetchall()
    return [str(identity) for (identity,) in found]


def served_predictions(lake: Lake, spec: UseCase, since: datetime, until: datetime) -> "pd.DataFrame":
    """Predictions of events in [since, until) and what is known of them then: the newest per example, version, role.

    Columns: event time, model_version, role, answer (JSON text), latency_ms, and, missing where no label has arrived,
    the label and what the task judges by.
    """
    time, outcomes = spec.event_time, outcomes_table(spec)
    with lake.read() as con:
        joined, known, moment = "", "", "l.event_time"
        if table_exists(con, outcomes):
            have = {str(row[0]) for row in con.execute(f"DESCRIBE {outcomes}").fetchall()}
            known = "".join(f", o.{name}" for name in (spec.training.label, *judged_by(spec, have)))
            # What was learned later is not there yet: a report as of last year comes out as it would have then.
            joined = (
                f"LEFT JOIN {outcomes} AS o ON o.prediction_id = l.prediction_id AND o.{spec.label_known_at} <= $until"
            )
            # What the label says of the time is what happened; the request may have been wrong.
            moment = f"coalesce(o.{time}, l.event_time)"
        keys = ", ".join(f"l.{name}" for name in spec.entity_keys)
        # A prediction without keys is an example of its own.
        example = f"coalesce({' || chr(31) || '.join(f'l.{name}' for name in spec.entity_keys)}, l.prediction_id)"
        rows: pd.DataFrame = con.execute(
            f"SELECT {moment} AS {time}, l.model_version, l.role, l.answer, l.latency_ms, {keys}{known} "
            f"FROM {prediction_table(spec)} AS l {joined} "
            f"WHERE {_HAPPENED} AND {moment} >= $since AND {moment} < $until "
            f"QUALIFY row_number() OVER (PARTITION BY {example}, l.model_version, l.role "
            f"ORDER BY l.predicted_at DESC, l.prediction_id DESC) = 1 ORDER BY 1, l.prediction_id",
            {"since": since, "until": until},
        ).df()
    if spec.training.label not in rows.columns:
        rows[spec.training.label] = float("nan")
    return rows


def served_features(
    lake: Lake,
    spec: UseCase,
    model_version: int,
    since: datetime,
    until: datetime,
    hashed: Hash | None = None,
    most: int = 50_000,
) -> "pd.DataFrame":
    """Feature rows of the examples that a version answered as champion in [since, until), with the label where it is
    known by then; `most` of them, the same ones each time."""
    label, known_at, time = spec.training.label, spec.label_known_at, spec.event_time
    with lake.read() as con:
        register_hash(con, spec, hashed)
        keys = " AND ".join(f"{journalled_key(spec, name)} = l.{name}" for name in spec.entity_keys)
        same = " AND ".join(f"f.{name} IS NOT DISTINCT FROM s.{name}" for name in spec.entity_keys)
        have = [str(row[0]) for row in con.execute(f"DESCRIBE {spec.name}.features").fetchall()]
        more = [f"s.{name}" for name, place in _aside(con, spec).items() if place == "s"]
        features = ", ".join([*(f"f.{name}" for name in have if name not in (time, label)), *more])
        rows: pd.DataFrame = con.execute(
            f"SELECT {features}, s.{time}, CASE WHEN s.{known_at} <= ? THEN s.{label} END AS {label} "
            f"FROM {spec.name}.spine AS s JOIN {spec.name}.features AS f ON {same} "
            f"WHERE s.{time} >= ? AND s.{time} < ? AND EXISTS (SELECT 1 FROM {prediction_table(spec)} AS l "
            f"WHERE l.model_version = ? AND l.role = 'champion' AND {keys}) "
            f"ORDER BY {', '.join(f'hash(s.{name})' for name in spec.entity_keys)} LIMIT ?",
            [until, since, until, model_version, most],
        ).df()
    return rows


def _aside(con: "duckdb.DuckDBPyConnection", spec: UseCase) -> dict[str, str]:
    """What a prediction is judged by beside its label -> where it lies: `f` the features, else `s` the spine."""
    features, spine = (
        {str(row[0]) for row in con.execute(f"DESCRIBE {spec.name}.{table}").fetchall()}
        for table in ("features", "spine")
    )
    return {name: "f" if name in features else "s" for name in judged_by(spec, features | spine)}


def _has_all(con: "duckdb.DuckDBPyConnection", table: str, columns: list[str]) -> bool:
    """Whether a table is there with these columns; where the declaration names new ones, all rows are told again."""
    if not table_exists(con, table):
        return False
    return {*columns} <= {str(row[0]) for row in con.execute(f"DESCRIBE {table}").fetchall()}


def _kept(spec: UseCase, name: str, place: str) -> str:
    """A column as it may be kept: hashed where the journal hashes it."""
    return f"keyed_hash({place}.{name}::VARCHAR)" if name in spec.journal.hashed else f"{place}.{name}"


def journalled_key(spec: UseCase, name: str, table: str = "s") -> str:
    """SQL of a key of the spine, or of another table, as the journal has it: the text that JSON has for it.

    A whole number without a point, whatever type holds it, and a time in ISO 8601. Requests must name others as the
    lake writes them: a UUID in lower case, a DECIMAL with all its digits, a time without an offset.
    """
    key = f"{table}.{name}"
    text = (
        f"(CASE WHEN typeof({key}) IN ('DOUBLE', 'FLOAT') OR typeof({key}) LIKE 'DECIMAL%' "
        f"THEN regexp_replace({key}::VARCHAR, '\\.0+$', '') "
        f"WHEN typeof({key}) LIKE 'TIMESTAMP%' THEN replace({key}::VARCHAR, ' ', 'T') ELSE {key}::VARCHAR END)"
    )
    return f"keyed_hash({text})" if name in spec.journal.hashed else text


def register_hash(con: "duckdb.DuckDBPyConnection", spec: UseCase, hashed: Hash | None) -> None:
    """Make `keyed_hash` known to SQL, where the declaration hashes something. Raises ValueError if it is not given."""
    if not spec.journal.hashed:
        return
    if hashed is None:
        raise ValueError("keys are journalled as hashes: pass the hash")
    con.create_function("keyed_hash", hashed, ["VARCHAR"], "VARCHAR")
