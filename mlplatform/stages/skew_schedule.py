"""Once a day, whatever else happens: the journal into the lake, and its features beside those of training.

New data brings the same comparison with it; a source that has ended, or brings a file a month, brings none.
"""

from typing import Any

import dagster as dg

from mlplatform.spec import Declaration
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.jobs import served_skew_job, use_case_tags
from mlplatform.stages.replaying import replaying
from mlplatform.stages.watchdog import no_space

__all__ = ["skew_schedule"]

_DAILY = "17 3 * * *"
"""Off the full hour, when everybody's jobs start."""


def skew_schedule(uc: Declaration, jobs: dict[str, Any]) -> dg.ScheduleDefinition:
    """Ask for the comparison, or say why there is nothing to compare."""

    @dg.schedule(
        name=f"{uc.spec.name}_daily_skew",
        job=jobs[served_skew_job(uc)],
        cron_schedule=_DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Features as they were served, beside those in the lake: each day, also without new data.",
    )
    def daily_skew(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if current_deployment(uc) is None:
            return dg.SkipReason(f"nothing of {uc.spec.name} is deployed: nobody has been answered")
        if replaying(uc):
            return dg.SkipReason(f"a replay moves the time of {uc.spec.name}; the comparison waits for its end")
        if full := no_space(uc):
            return dg.SkipReason(full)
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags=use_case_tags(uc))

    return daily_skew
