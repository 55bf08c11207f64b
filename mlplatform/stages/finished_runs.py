"""Finished runs of a use case, as Dagster's event log tells of them: what was planned, made, and refused.

Read by storage id, never by time: each end of a run is met once, in order, however long nobody looked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from mlplatform.healing.plan import Failure
from mlplatform.spec import Declaration
from mlplatform.stages.jobs import use_case_tags

__all__ = ["CheckOutcome", "FinishedRun", "finished_runs", "newest_event", "read_run"]

_ENDS = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
_TOLD_OF = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}
_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True)
class CheckOutcome:
    """One evaluation of an asset check."""

    key: dg.AssetKey
    name: str
    passed: bool
    error: bool
    """Whether its severity is ERROR: a warning never stops a run."""
    said: str
    """Its description, or its numbers."""

    @property
    def failure(self) -> Failure:
        """As the rules see it."""
        return Failure((self.key.path[-1],), self.name)


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended, and the event that says so."""

    event_id: int
    run: dg.DagsterRun
    succeeded: bool
    events: tuple[dg.DagsterEvent, ...]

    @cached_property
    def steps(self) -> dict[dg.AssetKey, str]:
        """The step that was to make each planned asset."""
        planned = [e for e in self.events if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED]
        return {e.asset_key: e.step_key or "" for e in planned if e.asset_key is not None}

    @cached_property
    def made(self) -> set[dg.AssetKey]:
        """Assets that it materialised."""
        done = (e for e in self.events if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION)
        return {e.asset_key for e in done if e.asset_key is not None}

    @cached_property
    def checks(self) -> list[CheckOutcome]:
        """Every check that it evaluated, in order."""
        found = (e for e in self.events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        return [_outcome(e.asset_check_evaluation_data) for e in found]

    @cached_property
    def refused(self) -> list[CheckOutcome]:
        """The checks that stopped it, or would have."""
        return [check for check in self.checks if not check.passed and check.error]

    @cached_property
    def unfinished(self) -> list[dg.AssetKey]:
        """Planned assets that it did not make, or that a check refused: what is left to do."""
        refused = {check.key for check in self.refused}
        return sorted(key for key in self.steps if key not in self.made or key in refused)

    @property
    def to_do(self) -> list[dg.AssetKey]:
        """What an attempt must make: what is unfinished, or, of a green run, what its failed checks are on."""
        return self.unfinished or sorted({check.key for check in self.checks if not check.passed})

    @property
    def failure(self) -> Failure:
        """What failed first, in the words of the rules: the check that stopped a step, else the step's stages."""
        failed = [e.step_key for e in self.events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
        of_failed = {key for key, step in self.steps.items() if step in failed[:1]}
        stopping = [check for check in self.refused if not failed or check.key in of_failed]
        if stopping:
            return stopping[0].failure
        return Failure(tuple(sorted(key.path[-1] for key in of_failed if key not in self.made)))

    @property
    def message(self) -> str:
        """Why, in the failed step's own words (the innermost error), at most 500 characters."""
        for event in self.events:
            if event.event_type == dg.DagsterEventType.STEP_FAILURE and event.step_failure_data.error is not None:
                error = event.step_failure_data.error
                while error.cause is not None:
                    error = error.cause
                return error.message.strip()[:_MESSAGE_CHARACTERS]
        told = [e.message for e in self.events if e.event_type == dg.DagsterEventType.RUN_FAILURE and e.message]
        return (told[0] if told else "the run was cancelled")[:_MESSAGE_CHARACTERS]


def newest_event(instance: dg.DagsterInstance) -> int:
    """Where the log of ends stands now."""
    newest = [instance.fetch_run_status_changes(kind, limit=1).records for kind in _ENDS]
    return max((records[0].storage_id for records in newest if records), default=0)


def finished_runs(
    instance: dg.DagsterInstance, uc: Declaration, after: int, limit: int
) -> tuple[list[FinishedRun], int]:
    """Runs of the use case that ended after event `after`, oldest first, and the newest event looked at.

    `limit` bounds the ends of all runs that one call looks at; those it leaves out come with the next call.
    """
    records, whole = [], []
    for kind in _ENDS:
        found = instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(event_type=kind, after_storage_id=after),  # type: ignore[arg-type]
            limit=limit,
            ascending=True,
        )
        records += list(found.records)
        if len(found.records) == limit:
            whole.append(found.records[-1].storage_id)
    # Of a kind that was cut off nothing behind the cut may be taken, or what lies between would be skipped.
    end = min(whole) if whole else max((record.storage_id for record in records), default=after)
    seen = sorted((r for r in records if r.storage_id <= end), key=lambda r: r.storage_id)
    return list(_of_use_case(instance, uc, seen)), end


def _of_use_case(instance: dg.DagsterInstance, uc: Declaration, records: list[Any]) -> Iterator[FinishedRun]:
    for record in records:
        run = instance.get_run_by_id(record.run_id)
        if run is None or not _belongs(run, uc):
            continue
        succeeded = record.event_log_entry.dagster_event_type == dg.DagsterEventType.RUN_SUCCESS
        yield FinishedRun(record.storage_id, run, succeeded, _events(instance, run.run_id))


def read_run(instance: dg.DagsterInstance, run_id: str) -> FinishedRun | None:
    """A run that has ended, by its id; None if its records were deleted."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        return None
    return FinishedRun(0, run, run.status == dg.DagsterRunStatus.SUCCESS, _events(instance, run_id))


def _events(instance: dg.DagsterInstance, run_id: str) -> tuple[dg.DagsterEvent, ...]:
    logged = instance.all_logs(run_id, of_type=_TOLD_OF)
    return tuple(entry.dagster_event for entry in logged if entry.dagster_event is not None)


def _belongs(run: dg.DagsterRun, uc: Declaration) -> bool:
    """Started by a job, a sensor or the command line, or by hand in the UI over this use case's assets."""
    [(name, value)] = use_case_tags(uc).items()
    if name in run.tags:
        return run.tags[name] == value
    return any(key.path[0] == uc.spec.name for key in run.asset_selection or ())


def _outcome(evaluation: dg.AssetCheckEvaluation) -> CheckOutcome:
    numbers = {
        name: value.value
        for name, value in evaluation.metadata.items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue | dg.TextMetadataValue)
    }
    return CheckOutcome(
        evaluation.asset_key,
        evaluation.check_name,
        evaluation.passed,
        evaluation.severity == dg.AssetCheckSeverity.ERROR,
        (evaluation.description or ", ".join(f"{name} {value}" for name, value in numbers.items()))[
            :_MESSAGE_CHARACTERS
        ],
    )
