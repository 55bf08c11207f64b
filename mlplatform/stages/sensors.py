"""The two sensors that close the loop: new data -> reports and decision; decision to retrain -> a new deployment."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration, Source
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.jobs import everything_job, ingest_job, range_tags, training_job, use_case_tags
from mlplatform.stages.naming import asset_key
from mlplatform.stages.raw import Days, raw_table
from mlplatform.stages.retrain_decision import DECISION_ID, DECISION_TAG, REASON, VERDICT

__all__ = ["new_data_sensor", "retrain_sensor"]

_BATCH = "mlplatform/batch"
_ATTEMPTS = 3
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def new_data_sensor(uc: Declaration, jobs: Mapping[str, Any]) -> dg.SensorDefinition:
    """Watch the sources; ingest what is new, a few days at a time, through to the retrain decision."""

    @dg.sensor(
        name=f"{uc.spec.name}_new_data",
        jobs=[jobs[everything_job(uc)], jobs[ingest_job(uc)]],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="New days in a source: ingest to retrain decision (or everything, if nothing is deployed yet).",
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        busy = _unfinished_run(context, uc)
        if busy:
            return dg.SkipReason(f"run {busy} of {uc.spec.name} is not finished; new data waits for it")
        due = _due_training(context, uc)
        if due:
            return dg.SkipReason(f"the training of decision {due} comes first")
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        # A source that cannot be read fails the tick: red in the UI, the message on it, the cursor where it was.
        found = {source.name: _new_days(uc, source, seen.get(source.name)) for source in uc.spec.sources}
        new = {name: days for name, (days, _) in found.items() if days is not None}
        if not new:
            return dg.SkipReason(f"no source has rows beyond what the lake holds ({_held(uc)})")
        days = Days(min(d.start for d in new.values()), max(d.end for d in new.values()))
        cursor = json.dumps({name: fingerprint for name, (_, fingerprint) in found.items()})
        batch = f"{days} {hashlib.sha256(cursor.encode()).hexdigest()[:12]}"
        failed = _failed_runs(context, batch)
        if failed >= _ATTEMPTS:
            return dg.SkipReason(
                f"{days} failed {failed} times; look at the last run, then correct the source (a changed source is "
                f"tried again) or run `mlplatform run {uc.spec.name}`"
            )
        request = dg.RunRequest(
            run_key=f"{uc.spec.name} {batch} attempt {failed + 1}",
            job_name=ingest_job(uc) if current_deployment(uc) else everything_job(uc),
            tags={**range_tags(days.start, days.end), **use_case_tags(uc), _BATCH: batch},
        )
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    return new_data


def retrain_sensor(uc: Declaration, jobs: Mapping[str, Any]) -> dg.SensorDefinition:
    """Act on each decision to retrain exactly once: the run key is the decision's id."""

    @dg.sensor(
        name=f"{uc.spec.name}_retrain",
        job=jobs[training_job(uc)],
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description='The newest decision says "retrain": train, compare, package and deploy.',
    )
    def retrain(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        decision = _newest_decision(context, uc)
        if decision is None:
            return dg.SkipReason("no decision has been made yet")
        if decision[VERDICT] != "retrain":
            return dg.SkipReason(f"{decision[VERDICT]}: {decision[REASON]}")
        busy = _unfinished_run(context, uc)
        if busy:
            return dg.SkipReason(f"retrain is due, but run {busy} of {uc.spec.name} is not finished")
        return dg.RunRequest(
            run_key=str(decision[DECISION_ID]),
            tags={
                **use_case_tags(uc),
                DECISION_TAG: str(decision[DECISION_ID]),
                "mlplatform/as_of": str(decision["as_of"]),
                "mlplatform/reason": str(decision[REASON])[:200],
            },
        )

    return retrain


def _newest_decision(context: dg.SensorEvaluationContext, uc: Declaration) -> dict[str, Any] | None:
    event = context.instance.get_latest_materialization_event(asset_key(uc, "retrain_decision"))
    if event is None or event.asset_materialization is None:
        return None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def _due_training(context: dg.SensorEvaluationContext, uc: Declaration) -> str | None:
    """The id of a decision to retrain that no run has acted on yet."""
    decision = _newest_decision(context, uc)
    if decision is None or decision[VERDICT] != "retrain":
        return None
    acted = context.instance.get_runs(dg.RunsFilter(tags={DECISION_TAG: str(decision[DECISION_ID])}), limit=1)
    return None if acted else str(decision[DECISION_ID])


def _unfinished_run(context: dg.SensorEvaluationContext, uc: Declaration) -> str | None:
    runs = context.instance.get_runs(dg.RunsFilter(tags=use_case_tags(uc), statuses=_UNFINISHED), limit=1)
    return runs[0].run_id[:8] if runs else None


def _failed_runs(context: dg.SensorEvaluationContext, batch: str) -> int:
    failed = dg.RunsFilter(tags={_BATCH: batch}, statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
    return len(context.instance.get_runs(failed))


def _new_days(uc: Declaration, source: Source, seen: str | None) -> tuple[Days | None, str]:
    """The next days to ingest, if any, and the source's fingerprint.

    A source that changed without reaching a new day (a corrected file, late rows) is read again on its newest day's
    range; the merge by key keeps that harmless.
    """
    from mlplatform.ingest.open import open_reader

    reader = open_reader(source, uc.folder)
    fingerprint = reader.fingerprint()
    available = reader.available()
    if available is None:
        return None, fingerprint
    first, behind = available
    if source.end:
        behind = min(behind, date.fromisoformat(source.end) + timedelta(days=1))
    start = max(first, date.fromisoformat(source.start), _newest_day(uc, source) or date.min)
    if start < behind:
        # The first training needs all the history there is; after it, time goes on in steps that can be watched.
        step = timedelta(days=source.max_days_per_run) if current_deployment(uc) else behind - start
        return Days(start, min(behind, start + step)), fingerprint
    changed = seen is not None and seen != fingerprint
    again = Days(max(first, behind - timedelta(days=source.max_days_per_run)), behind)
    return (again if changed else None), fingerprint


def _newest_day(uc: Declaration, source: Source) -> date | None:
    """The day behind the newest one that the lake holds of a source."""
    lake, table = Lake.at(Home.current()), raw_table(uc, source)
    if not lake.has_table(table):
        return None
    with lake.read() as con:
        row: Any = con.execute(f"SELECT max({source.time_column})::DATE FROM {table}").fetchone()
    return row[0] + timedelta(days=1) if row and row[0] else None


def _held(uc: Declaration) -> str:
    held = {source.name: _newest_day(uc, source) for source in uc.spec.sources}
    return ", ".join(f"{name} until {day - timedelta(days=1) if day else 'nothing'}" for name, day in held.items())
