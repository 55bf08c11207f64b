"""What each declared remedy really does: the run that it asks for, or the change that it makes.

A remedy that is a run carries two tags: the problem that it heals and which attempt it is. By them the healing sensor
knows its outcome, and the sensors that asked for the work first leave it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import duckdb

from mlplatform.errors import PlatformError
from mlplatform.healing.problem import Problem
from mlplatform.lake.cursors import cursor_table
from mlplatform.lake.lake import Lake
from mlplatform.lake.restore import restore_tables
from mlplatform.resources.lake import SNAPSHOT, table_of
from mlplatform.spec import Declaration, Rule
from mlplatform.stages.clock import newest_day_end
from mlplatform.stages.contract import TOLERANCE_TAG
from mlplatform.stages.finished_runs import FinishedRun
from mlplatform.stages.jobs import BY_HAND, PARTITION, RANGE_END, RANGE_START, everything_job, use_case_tags
from mlplatform.stages.naming import asset_key
from mlplatform.stages.pause import pause

__all__ = ["ATTEMPT_TAG", "PROBLEM_TAG", "Done", "apply_remedy", "attempt_name"]

PROBLEM_TAG = "mlplatform/healing_problem"
"""Tag of a run that is an attempt to heal: the problem's id in the ledger."""
ATTEMPT_TAG = "mlplatform/healing_attempt"
"""Tag of the same: which remedy and which attempt."""
_KEPT_TAGS = ("mlplatform/", "dagster/asset_partition_range_")
_RECENT = 50


@dataclass(frozen=True)
class Done:
    """What an attempt came to at once: a run to start, or an outcome without one."""

    request: dg.RunRequest | None = None
    succeeded: bool = True
    detail: str = ""
    restored: tuple[dg.AssetKey, ...] = ()


def attempt_name(problem: Problem) -> str:
    """Names the planned or started attempt of a problem: run key and tag."""
    return f"{problem.id} {problem.last.rule} {problem.last.attempt}"


def apply_remedy(
    uc: Declaration,
    lake: Lake,
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    problem: Problem,
    rule: Rule,
    failed: FinishedRun,
) -> Done:
    """Do what `rule` says about `problem`, whose latest failed run is `failed`.

    - retry: run the assets again that the failed run did not make (or that a check refused), over the same partitions.
    - refetch: the same, and before it everything from the raw tables on that those assets are made from: the
      partitions of the failed run are read from the source again.
    - quarantine: a retry whose contract checks accept up to `max_bad_share` bad rows. They go to quarantine; the check
      is recorded as failed, as a warning, with both limits.
    - last_good: the tables that the failed step had written are put back to what they held when all of their checks
      last passed, as a new snapshot; then what comes behind that step is run.
    - freeze: retraining is paused; no run.
    """
    if rule.remedy == "freeze":
        return _freeze(uc, lake, problem, rule)
    if rule.remedy == "last_good":
        return _last_good(uc, lake, instance, problem, failed)
    keys = failed.to_do
    if rule.remedy == "refetch":
        keys = _from_the_source(uc, repository, failed)
    extra = {TOLERANCE_TAG: str(rule.tolerance)} if rule.remedy == "quarantine" else {}
    return Done(_request(uc, problem, failed, keys, extra))


def _request(
    uc: Declaration, problem: Problem, failed: FinishedRun, keys: Sequence[dg.AssetKey], extra: dict[str, str]
) -> dg.RunRequest:
    kept = {name: value for name, value in failed.run.tags.items() if name.startswith(_KEPT_TAGS)}
    # A lifted tolerance holds for the one attempt that it was declared for.
    kept.pop(TOLERANCE_TAG, None)
    if single := failed.run.tags.get(PARTITION):
        # Of a run that somebody started for one day in the UI: without it the whole source would be read.
        kept |= {RANGE_START: single, RANGE_END: single}
    name = attempt_name(problem)
    stages = {key.path[-1] for key in keys}
    # What only a job of its own runs is not in the job of everything.
    of_its_own = failed.run.job_name if stages & set(BY_HAND) else everything_job(uc)
    return dg.RunRequest(
        run_key=name,
        job_name=of_its_own,
        run_config=_config_of(failed, {f"{uc.spec.name}__{stage}" for stage in stages}),
        tags={**kept, **use_case_tags(uc), PROBLEM_TAG: problem.id, ATTEMPT_TAG: name, **extra},
        asset_selection=sorted(keys),
    )


def _config_of(failed: FinishedRun, steps: set[str]) -> dict[str, Any]:
    """What the failed run was configured with, as far as its steps are run again."""
    given: Any = failed.run.run_config.get("ops") or {}
    kept = {name: config for name, config in given.items() if name in steps}
    return {"ops": kept} if kept else {}


def _from_the_source(uc: Declaration, repository: dg.RepositoryDefinition, failed: FinishedRun) -> list[dg.AssetKey]:
    graph = repository.asset_graph
    raw = dg.AssetSelection.assets(*(asset_key(uc, f"raw_{source.name}") for source in uc.spec.sources))
    between = raw.downstream() & dg.AssetSelection.assets(*failed.to_do).upstream()
    return sorted({*between.resolve(graph), *failed.to_do} & graph.executable_asset_keys)


def _freeze(uc: Declaration, lake: Lake, problem: Problem, rule: Rule) -> Done:
    until: datetime | None = None
    if rule.days is not None and lake.has_table(f"{uc.spec.name}.spine"):
        until = newest_day_end(uc, lake).to_pydatetime() + timedelta(days=rule.days)
    made = pause(uc, lake, until, f"{problem.last.failed} failed in run {problem.last.run_id[:8]}", by="healing")
    return Done(detail=f"{made}; `mlplatform resume {uc.spec.name}` ends it")


def _last_good(
    uc: Declaration, lake: Lake, instance: dg.DagsterInstance, problem: Problem, failed: FinishedRun
) -> Done:
    stages = problem.last.failed.partition(".")[0].split(", ")
    steps = {failed.steps[key] for stage in stages if (key := asset_key(uc, stage)) in failed.steps}
    of_step = [key for key, step in failed.steps.items() if step in steps]
    written = [key for key in sorted(of_step) if lake.has_table(table_of(key))]
    snapshot = _good_snapshot(instance, written, failed.run.run_id) if written else None
    if snapshot is None:
        return Done(succeeded=False, detail=f"no earlier run made {', '.join(stages)} with all checks passed")
    own = [table_of(key) for key in written]
    # Rows that are put back are read again: the cursor of their source goes back with them.
    tables = [*own, *(cursor for table in own if lake.has_table(cursor := cursor_table(table)))]
    try:
        restore_tables(lake, tables, snapshot, f"last good {', '.join(tables)} of snapshot {snapshot}")
    except (PlatformError, duckdb.CatalogException) as error:
        return Done(succeeded=False, detail=str(error))
    detail = f"{', '.join(tables)} as of snapshot {snapshot}"
    rest = [key for key in failed.to_do if key not in of_step]
    request = _request(uc, problem, failed, rest, {}) if rest else None
    return Done(request, detail=detail, restored=tuple(written))


def _good_snapshot(instance: dg.DagsterInstance, written: list[dg.AssetKey], failed_run: str) -> int | None:
    """The lake's snapshot behind the latest run that made all of these tables and whose checks on them all passed."""
    records = instance.fetch_materializations(written[-1], limit=_RECENT).records
    for run_id in dict.fromkeys(record.run_id for record in records):
        if run_id == failed_run:
            continue
        made, refused = _told(instance, run_id)
        found = [made[key] for key in written if key in made and key not in refused]
        if len(found) == len(written):
            return max(found)
    return None


def _told(instance: dg.DagsterInstance, run_id: str) -> tuple[dict[dg.AssetKey, int], set[dg.AssetKey]]:
    """The tables that a run made, with the lake's snapshot that holds them, and those that a check did not pass."""
    kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    made, refused = dict[dg.AssetKey, int](), set[dg.AssetKey]()
    for entry in instance.all_logs(run_id, of_type=kinds):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            refused |= set() if check.passed else {check.asset_key}
        elif SNAPSHOT in (written := event.step_materialization_data.materialization).metadata:
            made[written.asset_key] = int(str(written.metadata[SNAPSHOT].value))
    return made, refused
