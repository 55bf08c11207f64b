"""Runs that Dagster still calls started although their process is gone: killed, or the machine went down.

Sensors wait for an unfinished run of their use case, and the queue counts it, so one such run would hold up
everything after it. Dagster's own run monitoring cannot look at local processes.
"""

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["end_orphans"]

# Between "starting" and the event that names its process a run takes seconds (imports); minutes on a busy machine.
_STARTING_SECONDS = 600.0


def end_orphans(instance: "dg.DagsterInstance") -> list[str]:
    """Report every run without a process as failed; returns their ids."""
    import dagster as dg

    begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=begun)):
        run = record.dagster_run
        process = _process_of(instance, run.run_id)
        quiet_for = time.time() - record.update_timestamp.timestamp()
        gone = not _is_alive(process) if process else quiet_for > _STARTING_SECONDS
        if gone:
            instance.report_run_failed(run, f"Its process ({process or 'never started'}) is gone; it was killed.")
            ended.append(run.run_id)
    return ended


def _process_of(instance: "dg.DagsterInstance", run_id: str) -> int | None:
    """The process that executes the run, as its latest engine event says."""
    import dagster as dg

    named = [
        entry.dagster_event.engine_event_data.metadata["pid"].value
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        if entry.dagster_event is not None and "pid" in entry.dagster_event.engine_event_data.metadata
    ]
    return int(str(named[-1])) if named else None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
