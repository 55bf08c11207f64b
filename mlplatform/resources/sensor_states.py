"""What Dagster's records tell of sensors and of the daemon. The definitions need not be loaded for it."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlplatform.watchdog.checks import SensorState

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["daemon_silence", "sensor_states"]

_TICKS = 15
_DEFAULT_INTERVAL = 30
_ROLES = ("new_data", "retrain", "succession", "healing", "watchdog")
_BREAK_SECONDS = 120.0
"""Between two ticks of a daemon that did not rest; the longest interval of these sensors is a minute."""


def sensor_states(instance: "dg.DagsterInstance", use_case: str) -> list[SensorState]:
    """The sensors of a use case that nobody has stopped, also those of which the records know nothing."""
    from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

    # A use case may be named like the beginning of another: fraud and fraud_cards.
    names = [f"{use_case}_{role}" for role in _ROLES]
    known = {
        state.instigator_name: state for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    }
    states = []
    for name in names:
        state = known.get(name)
        if state is None:
            states.append(SensorState(name, timedelta(seconds=_DEFAULT_INTERVAL), None))
        elif state.status in (InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE):
            states.append(_state(instance, state))
    return states


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
        ticking_since=_moment(_unbroken([tick.timestamp for tick in ticks])) if ticks else None,
        failed_in_a_row=failed,
        error=_said(ended[0].error) if failed else "",
    )


def _unbroken(newest_first: list[float]) -> float:
    """When the ticks began that follow each other without a break up to the newest."""
    since = newest_first[0]
    for tick in newest_first[1:]:
        if since - tick > _BREAK_SECONDS:
            break
        since = tick
    return since


def _said(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message).strip()[:500] if error is not None else ""


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None)
