"""The watchdog sensor: what no run tells of. The same `look` serves `mlplatform doctor` and `mlplatform up`, which can
see a dead daemon; a sensor cannot."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import dagster as dg

from mlplatform.alerts.alert import Alert
from mlplatform.errors import ArtifactError, LakeBusyError
from mlplatform.healing.ledger import read_steps
from mlplatform.healing.problem import problems
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.resources.sensor_states import sensor_states
from mlplatform.serving.journal_losses import read_losses
from mlplatform.spec import Declaration
from mlplatform.stages.alerting import deliver_alerts, raise_for, wall_clock
from mlplatform.stages.served_check import SERVED_CHECK
from mlplatform.watchdog.checks import Finding, check_backlog, check_disk, check_losses, check_sensors, check_sources
from mlplatform.watchdog.seen import Seen, follow
from mlplatform.watchdog.served import Deployed, check_served, parse_time
from mlplatform.watchdog.sources import source_states

__all__ = ["look", "no_space", "tell_findings", "watchdog_sensor"]

_DAY = timedelta(days=1)
# Dagster ends a tick after 60 s.
_LOCK_SECONDS = 15.0


def no_space(uc: Declaration) -> str | None:
    """Why no run may start now, if the disk is too full."""
    return next((finding.title for finding in check_disk(Home.current(), uc.spec.watchdog)), None)


def look(uc: Declaration, instance: dg.DagsterInstance, now: datetime, ticking: bool = True) -> Iterator[Finding]:
    """Everything that is wrong with disk, sensors, sources, journal and services of a use case.

    `ticking`: a daemon should be running, so a sensor that does not tick is wrong.
    """
    home, limits = Home.current(), uc.spec.watchdog
    yield from check_disk(home, limits)
    if ticking:
        yield from check_sensors(sensor_states(instance, uc.spec.name), limits, now)
    yield from check_sources(source_states(uc, Lake.at(home)), now)
    yield from check_backlog(home, uc.spec.name, limits)
    lost = read_losses(home.journal(uc.spec.name))
    yield from check_losses(uc.spec.name, str(lost), lost.last, now)
    yield from look_at_services(uc, now)


def look_at_services(uc: Declaration, now: datetime) -> Iterator[Finding]:
    """What the services that run say of themselves, beside the pointer."""
    from mlplatform.serving.pointer import read_pointer
    from mlplatform.serving.served import read_served

    file = Home.current().deployment(uc.spec.name)
    try:
        pointer = read_pointer(file) if file.exists() else None
    except ArtifactError as error:
        yield Finding("deployment pointer", str(error), f"materialise {uc.spec.name}/deployment")
        return
    deployed = Deployed(pointer.bento, parse_time(pointer.deployed_at)) if pointer else None
    yield from check_served(uc.spec.name, deployed, read_served(file, now), now)


def tell_findings(uc: Declaration, found: list[Finding], seen: Seen, now: datetime) -> Seen:
    """Raise an alert of each new finding, a reminder a day of what stays, capped; and deliver. Returns what to keep."""
    lake, reminders = replace(Lake.at(Home.current()), write_timeout=_LOCK_SECONDS), uc.spec.watchdog.reminders
    after, told = follow(seen, found, now, reminders)
    alerts = [
        Alert(f"watchdog {key}", uc.spec.name, "watchdog", finding.title, finding.advice, now) for key, finding in told
    ]
    raise_for(uc, lake, [*alerts, *_reminders(uc, lake, now)])
    deliver_alerts(uc, lake)
    return after


def watchdog_sensor(uc: Declaration) -> dg.SensorDefinition:
    """Look once a minute; the cursor holds what was wrong at the last look."""

    @dg.sensor(
        name=f"{uc.spec.name}_watchdog",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sensors that stopped or fail, stale sources, a full disk, predictions that pile up or are lost, "
        "bentos that services refuse: alerts.",
    )
    def watchdog(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = wall_clock()
        found = list(look(uc, context.instance, now))
        try:
            seen = tell_findings(uc, found, Seen.parse(context.cursor), now)
        except LakeBusyError as busy:
            return dg.SensorResult(cursor=context.cursor, skip_reason=str(busy))
        said = "; ".join(finding.title for finding in found) or "disk, sensors, sources, journal and services are well"
        return dg.SensorResult(skip_reason=said, cursor=seen.stored())

    return watchdog


def _reminders(uc: Declaration, lake: Lake, now: datetime) -> Iterator[Alert]:
    """Problems that nobody has solved, once a day."""
    for problem in problems(read_steps(lake, uc.spec.name)):
        if problem.last.outcome not in ("gave up", "alerted") or problem.last.failed == f"deployment.{SERVED_CHECK}":
            continue
        days = (now - problem.last.at) // _DAY
        if 1 <= days <= uc.spec.watchdog.reminders:
            title = f"still not solved: {problem.last.failed}"
            key = f"{problem.id} reminder {days}"
            yield Alert(
                key, uc.spec.name, "gave_up", title, f"{problem}\n{problem.last.detail}", now, problem.last.run_id
            )
