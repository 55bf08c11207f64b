"""Logged requests that a model has not answered, and the answers of two versions to the same requests."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.predictions import judged_by, outcomes_table, prediction_table
from mlplatform.spec import UseCase

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAMPLE", "Latency", "answers_by_day", "answers_to_both", "served_latency", "unanswered"]

EXAMPLE = "example"
"""Column: which example of its request a prediction is about; its keys, or its place where the request named none."""
CHUNK = 50_000
_ANSWERED = "('champion', 'challenger')"
"""Roles whose answers went out."""


def unanswered(
    lake: Lake, spec: UseCase, version: int, since: datetime, until: datetime, chunk: int = CHUNK
) -> Iterator[list[dict[str, Any]]]:
    """Predictions that went out for events in [since, until), of other versions, that `version` has not rescored yet.

    Rows of the log, `chunk` at a time, by prediction_id.
    """
    table, last = prediction_table(spec), ""
    while True:
        with lake.read() as con:
            found = con.execute(
                f"FROM {table} AS l WHERE prediction_id > ? AND role IN {_ANSWERED} AND model_version <> ? "
                "AND event_time >= ? AND event_time < ? AND NOT EXISTS "
                f"(FROM {table} AS d WHERE d.prediction_id = l.prediction_id || '@v' || ?::VARCHAR) "
                "ORDER BY prediction_id LIMIT ?",
                [last, version, since, until, version, chunk],
            ).to_arrow_table()
        if not len(found):
            return
        rows: list[dict[str, Any]] = found.to_pylist()
        yield rows
        last = rows[-1]["prediction_id"]


def answers_by_day(
    lake: Lake, spec: UseCase, versions: tuple[int, int], since: datetime, until: datetime
) -> dict[str, tuple[int, int]]:
    """Day of event time in [since, until) -> how many answers of the first and of the second version are logged."""
    with lake.read() as con:
        found = con.execute(
            "SELECT strftime(event_time, '%Y-%m-%d'), count(*) FILTER (model_version = ?), "
            f"count(*) FILTER (model_version = ?) FROM {prediction_table(spec)} "
            "WHERE model_version IN (?, ?) AND role <> 'question' AND event_time >= ? AND event_time < ? GROUP BY ALL",
            [*versions, *versions, since, until],
        ).fetchall()
    return {str(day): (int(first), int(second)) for day, first, second in found}


def answers_to_both(
    lake: Lake, spec: UseCase, versions: tuple[int, int], since: datetime, until: datetime, known_by: datetime
) -> "pd.DataFrame":
    """What two versions said to the requests that both answered, or were rescored on, for events in [since, until).

    The newest answer per version, request and example; what was served comes before what was rescored. Columns:
    journal_request, example, keyed (whether the example is named by its keys), model_version, role, answer (JSON text),
    the keys, the event time and, missing where no label was known at `known_by`, the label and what the task judges by.
    """
    time, label, outcomes = spec.event_time, spec.training.label, outcomes_table(spec)
    keyed = " AND ".join(f"{name} IS NOT NULL" for name in spec.entity_keys)
    named = " || chr(31) || ".join(spec.entity_keys)
    with lake.read() as con:
        known, joined, moment, labelled = "", "", "l.event_time", list[datetime]()
        if table_exists(con, outcomes):
            have = {str(row[0]) for row in con.execute(f"DESCRIBE {outcomes}").fetchall()}
            known = "".join(f", o.{name}" for name in (label, *judged_by(spec, have)))
            joined = (
                f"LEFT JOIN {outcomes} AS o ON o.prediction_id = split_part(l.prediction_id, '@', 1) "
                f"AND o.{spec.label_known_at} <= ?"
            )
            labelled.append(known_by)
            moment = f"coalesce(o.{time}, l.event_time)"
        keys = ", ".join(f"l.{name}" for name in spec.entity_keys)
        rows: pd.DataFrame = con.execute(
            f"""
            WITH placed AS (
                -- Some rows of a request may not be rescored: the place of a rescored row is that of the served one.
                SELECT prediction_id AS served_id, row_number() OVER (
                    PARTITION BY request_id, model_version, role, {keyed} ORDER BY prediction_id) AS place
                FROM {prediction_table(spec)}
                WHERE role NOT IN ('journal', 'question') AND event_time >= ? AND event_time < ?
            ), told AS (
                SELECT * EXCLUDE (served_id, place), {keyed} AS keyed,
                    CASE WHEN {keyed} THEN {named} ELSE 'row ' || place END AS {EXAMPLE}
                FROM {prediction_table(spec)} LEFT JOIN placed ON served_id = split_part(prediction_id, '@', 1)
                WHERE model_version IN (?, ?) AND role <> 'question' AND event_time >= ? AND event_time < ?
            ), newest AS (
                FROM told QUALIFY row_number() OVER (PARTITION BY model_version, request_id, {EXAMPLE}
                    ORDER BY role = 'journal', predicted_at DESC, prediction_id DESC) = 1
            ), both_answered AS (
                SELECT request_id FROM newest GROUP BY request_id HAVING count(DISTINCT model_version) = 2
            )
            SELECT l.request_id AS journal_request, l.{EXAMPLE}, l.keyed, l.model_version, l.role, l.answer, {keys},
                {moment} AS {time}{known}
            FROM newest AS l JOIN both_answered USING (request_id) {joined}
            ORDER BY {time}, l.request_id, l.{EXAMPLE}, l.model_version
            """,
            [since, until, *versions, since, until, *labelled],
        ).df()
    return rows if label in rows.columns else rows.assign(**{label: float("nan")})


@dataclass(frozen=True)
class Latency:
    """Of the requests that a version was served with, milliseconds in the service; NaN without any."""

    requests: int = 0
    p50_ms: float = float("nan")
    p99_ms: float = float("nan")


def served_latency(lake: Lake, spec: UseCase, champion: int, challenger: int) -> tuple[Latency, Latency]:
    """Both versions while the challenger ran in a service, by the service's clock; empty ones if it never did.

    A shadow's is what the request would have taken with its scoring in place of the champion's.
    """
    table = prediction_table(spec)
    with lake.read() as con:
        found = con.execute(
            f"""
            WITH tried AS (
                FROM {table} WHERE model_version = ? AND role IN ('shadow', 'challenger')
            ), beside AS (
                -- A shadow is at it a moment after its champion: the span alone would miss the first request.
                FROM {table} WHERE model_version = ? AND role = 'champion' AND (
                    predicted_at BETWEEN (SELECT min(predicted_at) FROM tried) AND (SELECT max(predicted_at) FROM tried)
                    OR request_id IN (SELECT request_id FROM tried))
            ), per_request AS (
                SELECT model_version, request_id, max(latency_ms) AS ms
                FROM (FROM tried UNION ALL FROM beside) GROUP BY ALL
            )
            SELECT model_version, count(*), quantile_cont(ms, 0.5), quantile_cont(ms, 0.99)
            FROM per_request GROUP BY ALL
            """,
            [challenger, champion],
        ).fetchall()
    by_version = {int(version): Latency(int(count), float(p50), float(p99)) for version, count, p50, p99 in found}
    return by_version.get(champion, Latency()), by_version.get(challenger, Latency())
