"""What Dagster's records tell of sensors and of the daemon. The definitions need not be loaded for it."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlplatform.watchdog.checks import SensorState

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["daemon_silence", "sensor_states"]

_TICKS = 10
_DEFAULT_INTERVAL = 30


def sensor_states(instance: "dg.DagsterInstance", use_case: str) -> list[SensorState]:
    """The sensors of a use case that have ticked before and that nobody has stopped."""
    from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

    running = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
    found = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR, instigator_statuses=running)
    # A use case may be named like the beginning of another: fraud and fraud_cards.
    names = {f"{use_case}_{role}" for role in ("new_data", "retrain", "succession", "healing", "watchdog")}
    return [_state(instance, state) for state in found if state.instigator_name in names]


def daemon_silence(instance: "dg.DagsterInstance") -> timedelta | None:
    """How long ago the sensor daemon last said that it lives; None if it never did."""
    heartbeat = instance.get_daemon_heartbeats().get("SENSOR")
    return timedelta(seconds=time.time() - heartbeat.timestamp) if heartbeat else None


def _state(instance: "dg.DagsterInstance", state: Any) -> SensorState:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
    ended = [tick for tick in ticks if tick.status.value != "STARTED"]
    failed = 0
    for tick in ended:
        if tick.status.value != "FAILURE":
            break
        failed += 1
    interval = getattr(state.instigator_data, "min_interval", None) or _DEFAULT_INTERVAL
    return SensorState(
        name=state.instigator_name,
        interval=timedelta(seconds=interval),
        last_tick=_moment(ticks[0].timestamp) if ticks else None,
        failed_in_a_row=failed,
        error=_said(ended[0].error) if failed else "",
    )


def _said(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message).strip()[:500] if error is not None else ""


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None)
