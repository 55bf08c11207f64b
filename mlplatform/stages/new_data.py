"""The new-data sensor: new or changed days of the sources, carried through to a decision, a few days at a time.

What counts as new is measured at the end of the graph, not at its beginning: a day is covered when a decision has been
made on it. So whatever stage a run dies in, its days are not forgotten. A batch is asked for once; whether and when a
failed one is tried again is the healing sensor's business.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import dagster as dg

from mlplatform.errors import MissingExtraError
from mlplatform.home import Home
from mlplatform.ingest.days import Days, declared_days, next_days
from mlplatform.lake.cursors import read_cursor
from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration, Source
from mlplatform.stages.attempts import tried
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.jobs import (
    FINGERPRINT_TAG,
    everything_job,
    ingest_job,
    range_tags,
    unfinished_run,
    use_case_tags,
)
from mlplatform.stages.raw_batch import raw_table
from mlplatform.stages.replaying import replaying
from mlplatform.stages.retrain import due_training
from mlplatform.stages.retrain_decision import newest_decision
from mlplatform.stages.watchdog import no_space

__all__ = ["new_data_sensor", "sources_fingerprint"]

_BATCH_TAG = "mlplatform/batch"
_RECENT_RUNS = 50
_SINCE = "_since"
"""In the cursor, beside the sources, none of whose names begins with an underscore."""


def new_data_sensor(uc: Declaration, jobs: dict[str, Any]) -> dg.SensorDefinition:
    """Ask for the next days, once for each change; say why when there is nothing to ask for."""

    @dg.sensor(
        name=f"{uc.spec.name}_new_data",
        jobs=[jobs[everything_job(uc)], jobs[ingest_job(uc)]],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="New days in a source: ingest to retrain decision (or everything, if nothing is deployed yet).",
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if replaying(uc):
            return dg.SkipReason(f"a replay moves the time of {uc.spec.name}; new data waits for its end")
        busy = unfinished_run(context.instance, uc)
        if busy:
            return dg.SkipReason(f"run {busy} of {uc.spec.name} is not finished; new data waits for it")
        full = no_space(uc)
        if full:
            return dg.SkipReason(full)
        due = due_training(context.instance, uc)
        if due:
            return dg.SkipReason(f"the training of decision {due} comes first")
        # A source that cannot be read fails the tick: red in the UI, with the message, the cursor where it was.
        try:
            states = _look(uc, context.cursor)
        except MissingExtraError as missing:
            return dg.SkipReason(str(missing))
        fingerprint = _combined({name: state.fingerprint for name, state in states.items()})
        since = _since(context, uc, fingerprint)
        cursor = json.dumps({name: state.stored() for name, state in states.items()} | {_SINCE: [fingerprint, since]})
        covered = _covered_until(uc)
        work = _next(uc, states, covered, changed=not _is_carried(context.instance, uc, fingerprint))
        if work is None:
            return dg.SensorResult(skip_reason=_nothing_new(uc, states, covered), cursor=cursor)
        return _ask(context, uc, work.since(since), fingerprint, cursor)

    return new_data


def sources_fingerprint(uc: Declaration) -> str:
    """One text that changes when the content of any source may have changed; a run is tagged with what it read."""
    return _combined({source.name: _fingerprint(uc, source, None) for source in uc.spec.sources})


def _fingerprint(uc: Declaration, source: Source, known: str | None) -> str:
    """Changes when there may be something to read; `known` is that of the last look.

    A source that goes on has something new while rows wait behind its cursor. Once they are stored nothing waits, and
    nothing has changed since: it keeps the name of what waited last. Empty while it has had nothing yet.
    """
    from mlplatform.ingest.open import open_feed, open_source

    if not source.goes_on:
        return open_source(source, uc.folder).fingerprint()
    cursor = read_cursor(Lake.at(Home.current()), raw_table(uc, source))
    return open_feed(source, uc.folder).pending(cursor) or known or (_hash(cursor) if cursor else "")


@dataclass(frozen=True)
class _State:
    """A source as it was when it was last looked at."""

    fingerprint: str
    days: Days | None

    def stored(self) -> list[str | None]:
        """For the cursor."""
        return [self.fingerprint, *((str(self.days.start), str(self.days.end)) if self.days else (None, None))]


def _look(uc: Declaration, cursor: str | None) -> dict[str, _State]:
    """Every source; one whose fingerprint is that of the cursor is not read again (a CSV would be parsed whole)."""
    known = json.loads(cursor) if cursor else {}
    return {source.name: _look_at(uc, source, known.get(source.name)) for source in uc.spec.sources}


def _look_at(uc: Declaration, source: Source, known: list[str | None] | None) -> _State:
    from mlplatform.ingest.open import open_reader

    if source.partition == "none":
        # Read whole, or on, whenever it changed: which days it has does not matter.
        return _State(_fingerprint(uc, source, known[0] if known else None), None)
    reader = open_reader(source, uc.folder)
    fingerprint = reader.fingerprint()
    if known and known[0] == fingerprint and known[1] and known[2]:
        return _State(fingerprint, Days(date.fromisoformat(known[1]), date.fromisoformat(known[2])))
    return _State(fingerprint, declared_days(source, reader.available()))


def _combined(fingerprints: dict[str, str]) -> str:
    return _hash(json.dumps(fingerprints, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _since(context: dg.SensorEvaluationContext, uc: Declaration, fingerprint: str) -> str:
    """The newest run when this content was first seen; empty for the first content of all.

    Content alone does not name a change: a source that is A, then B, then A again has changed twice.
    """
    known = json.loads(context.cursor) if context.cursor else {}
    before, since = known.get(_SINCE) or (None, "")
    if before in {None, fingerprint}:
        return str(since)
    newest = context.instance.get_runs(dg.RunsFilter(tags=use_case_tags(uc)), limit=1)
    return newest[0].run_id[:8] if newest else ""


def _covered_until(uc: Declaration) -> date | None:
    """The newest moment that a decision was made for; None before the first, or while nothing is deployed."""
    decision = newest_decision(uc, Lake.at(Home.current())) if current_deployment(uc) else None
    return decision["as_of"].date() if decision else None


def _is_carried(instance: dg.DagsterInstance, uc: Declaration, fingerprint: str) -> bool:
    """Whether a run of this content has succeeded, and none of another content, which it may have stored, since."""
    for run in instance.get_runs(dg.RunsFilter(tags=use_case_tags(uc)), limit=_RECENT_RUNS):
        told = run.tags.get(FINGERPRINT_TAG)
        if told == fingerprint and run.status == dg.DagsterRunStatus.SUCCESS:
            return True
        if told not in {None, fingerprint}:
            return False
    return False


@dataclass(frozen=True)
class _Work:
    """What a run is to read."""

    name: str
    tags: dict[str, str]

    def since(self, run: str) -> "_Work":
        """The same, asked for because of a change that was seen after `run`."""
        return replace(self, name=f"{self.name} since {run}") if run else self


def _next(uc: Declaration, states: dict[str, _State], covered: date | None, changed: bool) -> _Work | None:
    partitioned = uc.spec.partitioned_sources
    if not partitioned:
        return _Work("all rows", {}) if _begun(states) and (covered is None or changed) else None
    wanted = [next_days(source, states[source.name].days, covered, changed) for source in partitioned]
    found = [days for days in wanted if days is not None]
    if not found:
        return None
    days = Days(min(d.start for d in found), max(d.end for d in found))
    return _Work(str(days), range_tags(uc, days.start, days.end))


def _begun(states: dict[str, _State]) -> bool:
    """Whether any source has, or has had, something: a stream may have had no message yet."""
    return any(state.fingerprint for state in states.values())


def _nothing_new(uc: Declaration, states: dict[str, _State], covered: date | None) -> str:
    partitioned = bool(uc.spec.partitioned_sources)
    if not _begun(states) or (partitioned and covered is None):
        return f"no source of {uc.spec.name} has a row yet"
    if not partitioned or covered is None:
        return f"the sources of {uc.spec.name} have not changed since they were read"
    return f"no source has rows beyond {covered - timedelta(days=1)}, which the newest decision covers"


def _ask(
    context: dg.SensorEvaluationContext, uc: Declaration, work: _Work, fingerprint: str, cursor: str
) -> dg.SensorResult:
    batch = f"{work.name} {fingerprint}"
    before = tried(context.instance, uc, {_BATCH_TAG: batch})
    if before is not None:
        advice = f"; correct the source (a changed one is asked again) or run `mlplatform run {uc.spec.name}`"
        return dg.SensorResult(skip_reason=f"{work.name}: {before.text}{advice if before.over else ''}", cursor=cursor)
    request = dg.RunRequest(
        run_key=f"{uc.spec.name} {batch}",
        job_name=ingest_job(uc) if current_deployment(uc) else everything_job(uc),
        tags={
            **work.tags,
            **use_case_tags(uc),
            _BATCH_TAG: batch,
            FINGERPRINT_TAG: fingerprint,
        },
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)
