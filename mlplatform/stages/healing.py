"""The healing sensor: failed runs and failed checks, the remedies that are declared for them, and the ledger of both.

It alone tries again; the sensors that ask for work ask once. Its cursor is the id of the newest event of Dagster's log
that it has answered. A tick that dies leaves the cursor where it was: events that the ledger already knows are passed
over then, alerts of a known key are not raised again, and a run key starts one run.
"""

from dataclasses import replace
from typing import Any

import dagster as dg

from mlplatform.errors import LakeBusyError
from mlplatform.healing.ledger import Step, ledger_table, read_steps, record_steps
from mlplatform.healing.plan import Failure, rule_key
from mlplatform.healing.problem import Problem, problems
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table
from mlplatform.resources.lake import table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.alerting import decision_alerts, deliver_alerts, raise_for, step_alerts, wall_clock
from mlplatform.stages.finished_runs import finished_runs, newest_event, read_run
from mlplatform.stages.healing_answers import Known, answer
from mlplatform.stages.jobs import unfinished_run
from mlplatform.stages.naming import asset_key
from mlplatform.stages.remedies import ATTEMPT_TAG, Done, apply_remedy, attempt_name
from mlplatform.stages.replaying import replaying
from mlplatform.stages.retrain import paused
from mlplatform.stages.watchdog import no_space

__all__ = ["healing_sensor", "ledger_asset"]

LEDGER = "healing_ledger"
# Dagster ends a tick after 60 s.
_LOCK_SECONDS = 15.0
_EVENTS_PER_TICK = 100
_SHOWN_STEPS = 30
_TRAINING = "champion"


def ledger_asset(uc: Declaration) -> dg.AssetSpec:
    """The ledger as a node of the graph that the sensor, and no run, materialises."""
    return dg.AssetSpec(
        asset_key(uc, LEDGER),
        group_name=uc.spec.name,
        description=f"What failed, which remedy was tried, and how it ended. Table {ledger_table(uc.spec.name)}.",
        owners=uc.spec.owners,
        kinds={"duckdb"},
        tags={"area": "monitoring"},
    )


def healing_sensor(uc: Declaration, jobs: dict[str, Any]) -> dg.SensorDefinition:
    """Answer what has ended since the last tick, then start what is due, one run at a time."""

    @dg.sensor(
        name=f"{uc.spec.name}_healing",
        jobs=list(jobs.values()),
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Failed runs and failed checks: the declared remedy, with back-off and a cap; the ledger; alerts.",
    )
    def healing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        lake = replace(Lake.at(Home.current()), write_timeout=_LOCK_SECONDS)
        if replaying(uc):
            return dg.SensorResult(
                cursor=context.cursor,
                skip_reason=f"a replay moves the time of {uc.spec.name}; healing waits for its end",
            )
        if context.cursor is None:
            # What failed before anybody watched is history, not work.
            start = newest_event(context.instance)
            return dg.SensorResult(cursor=str(start), skip_reason=f"watches from event {start} on")
        try:
            return _tick(context, uc, lake, int(context.cursor))
        except LakeBusyError as busy:
            # A dbt build may write for minutes. What was not recorded is answered at the next tick.
            return dg.SensorResult(cursor=context.cursor, skip_reason=str(busy))

    return healing


def _tick(context: dg.SensorEvaluationContext, uc: Declaration, lake: Lake, after: int) -> dg.SensorResult:
    steps, end = _answer_ends(context.instance, uc, lake, after)
    known = problems(read_steps(lake, uc.spec.name))
    started, request, events = _start_due(context, uc, lake, known)
    for failed in deliver_alerts(uc, lake).failed:
        context.log.warning(f"alert not delivered: {failed}")
    if steps or started:
        events.append(_ledger_event(uc, lake))
    return dg.SensorResult(
        run_requests=[request] if request else [],
        skip_reason=None if request else _said(uc, lake),
        cursor=str(end),
        asset_events=events,
    )


def _answer_ends(instance: dg.DagsterInstance, uc: Declaration, lake: Lake, after: int) -> tuple[list[Step], int]:
    runs, end = finished_runs(instance, uc, after, _EVENTS_PER_TICK)
    written: list[Step] = []
    for run in runs:
        before = read_steps(lake, uc.spec.name)
        if any(step.event_id == run.event_id for step in before):
            continue
        now = wall_clock()
        steps = answer(run, Known(uc, instance, {p.id: p for p in problems(before)}, now))
        # Alerts first: a step in the ledger says that its event was dealt with, alerts included.
        raise_for(uc, lake, [*step_alerts(uc, steps), *decision_alerts(uc, run, now)])
        record_steps(lake, uc.spec.name, steps)
        written += steps
    return written, end


Started = tuple[list[Step], dg.RunRequest | None, list[dg.AssetMaterialization]]


def _start_due(context: dg.SensorEvaluationContext, uc: Declaration, lake: Lake, known: list[Problem]) -> Started:
    """The first attempt that is due and may start. One that the ledger calls started, but no run shows, died between
    the two: it is asked for again, under the same run key."""
    if unfinished_run(context.instance, uc) or no_space(uc):
        return [], None, []
    now = wall_clock()
    for problem in known:
        lost = problem.last.outcome == "started" and not _has_run(context.instance, problem)
        if lost or (problem.due(now) and not _held(context.instance, uc, problem)):
            return _start(context, uc, lake, problem)
    return [], None, []


def _start(context: dg.SensorEvaluationContext, uc: Declaration, lake: Lake, problem: Problem) -> Started:
    rule = next((rule for rule in uc.spec.healing if rule_key(rule) == problem.last.rule), None)
    failed = read_run(context.instance, problem.last.run_id)
    now = wall_clock()
    if rule is None or failed is None:
        gone = "its rule is no longer declared" if rule is None else "the records of its run are gone"
        steps = [problem.step("gave up", now, detail=gone)]
        _record(uc, lake, steps)
        return steps, None, []
    assert context.repository_def is not None, "the daemon and the tests give it"
    done = apply_remedy(uc, lake, context.instance, context.repository_def, problem, rule, failed)
    steps = [] if problem.last.outcome == "started" else [problem.step("started", now, detail=done.detail)]
    if done.request is None:
        steps += _ended_at_once(uc, problem.plus(*steps), done)
    _record(uc, lake, steps)
    return steps, done.request, [_restored_event(problem, key, done) for key in done.restored]


def _ended_at_once(uc: Declaration, problem: Problem, done: Done) -> list[Step]:
    """A remedy that starts no run has an outcome now."""
    now = wall_clock()
    if done.succeeded:
        return [problem.step("succeeded", now, detail=done.detail)]
    ended = problem.step("failed", now, detail=done.detail)
    failure = Failure.parse(problem.last.failed)
    after = problem.plus(ended).after_failure(uc.spec.healing, failure, ended.event_id, now, done.detail)
    return [ended, after]


def _record(uc: Declaration, lake: Lake, steps: list[Step]) -> None:
    raise_for(uc, lake, list(step_alerts(uc, steps)))
    record_steps(lake, uc.spec.name, steps)


def _has_run(instance: dg.DagsterInstance, problem: Problem) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(tags={ATTEMPT_TAG: attempt_name(problem)}), limit=1))


def _held(instance: dg.DagsterInstance, uc: Declaration, problem: Problem) -> bool:
    """A pause keeps the champion: what would compare candidates with it waits for its end."""
    failed = read_run(instance, problem.last.run_id) if paused(uc) else None
    return failed is not None and any(key.path[-1] == _TRAINING for key in failed.to_do)


def _said(uc: Declaration, lake: Lake) -> str:
    still = [problem for problem in problems(read_steps(lake, uc.spec.name)) if problem.open]
    full = no_space(uc)
    told = [str(problem) for problem in still[-3:]] + ([full] if full else [])
    more = f"; and {len(still) - 3} more" if len(still) > 3 else ""
    return ("; ".join(told) + more) or f"nothing of {uc.spec.name} is failing"


def _restored_event(problem: Problem, key: dg.AssetKey, done: Done) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        key, description=f"put back by healing: {done.detail}", metadata={"healing/problem": problem.id}
    )


def _ledger_event(uc: Declaration, lake: Lake) -> dg.AssetMaterialization:
    steps = read_steps(lake, uc.spec.name)
    found = problems(steps)
    return dg.AssetMaterialization(
        asset_key(uc, LEDGER),
        description=f"{steps[-1].failed}: {steps[-1].outcome}",
        metadata={
            **table_metadata(describe_table(lake, ledger_table(uc.spec.name))),
            "open_problems": sum(problem.open for problem in found),
            "given_up": sum(problem.last.outcome == "gave up" for problem in found),
            "steps": dg.MetadataValue.md(as_markdown(steps[-_SHOWN_STEPS:])),
        },
    )


def as_markdown(steps: list[Step]) -> str:
    """The newest steps first, as a table for the UI."""
    names = ("at (UTC)", "what failed", "remedy", "attempt", "outcome", "run", "detail")
    head = f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|\n"
    return head + "".join(
        f"| {step.at:%Y-%m-%d %H:%M:%S} | {step.failed} | {step.remedy} | "
        f"{f'{step.attempt} of {step.of}' if step.of else ''} | {step.outcome} | {step.run_id[:8]} | {_cell(step)} |\n"
        for step in reversed(steps)
    )


def _cell(step: Step) -> str:
    due = f"due at {step.due_at:%H:%M:%S}. " if step.due_at else ""
    return due + " ".join(step.detail.replace("|", "\\|").split())[:200]
