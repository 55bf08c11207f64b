"""What may be wrong without any run telling it, judged from plain values and a given `now`."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mlplatform.errors import DiskFullError
from mlplatform.home import Home
from mlplatform.spec import Freshness, Watchdog

__all__ = [
    "Finding",
    "SensorState",
    "SourceState",
    "check_backlog",
    "check_disk",
    "check_losses",
    "check_sensors",
    "check_sources",
    "require_space",
]

_LEAST_SILENCE = timedelta(minutes=2)
_LOSSES_STAY = timedelta(days=1)
_GIB, _MIB = 2**30, 2**20


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    subject: str
    """What it is about; the same as long as the same thing is wrong."""
    title: str
    """One line."""
    advice: str


@dataclass(frozen=True)
class SensorState:
    """A sensor as the daemon's records tell of it. Times are UTC without a zone, by the clock on the wall."""

    name: str
    interval: timedelta
    last_tick: datetime | None
    """When its latest tick began; None before the first."""
    failed_in_a_row: int = 0
    error: str = ""
    """What the latest failed tick said."""
    ticking_since: datetime | None = None
    """Since when it has been evaluated without a break, as far back as was looked; None before the first tick."""


@dataclass(frozen=True)
class SourceState:
    """What the lake holds of a source; None where it holds nothing."""

    name: str
    freshness: Freshness
    newest_event: datetime | None
    """In the data's time."""
    newest_load: datetime | None
    """By the clock on the wall."""
    complete: bool
    """Whether its declared `end` has been reached."""


def check_disk(home: Home, limits: Watchdog) -> Iterator[Finding]:
    """Too little space for the home to start anything."""
    place = _existing(home.root)
    free = shutil.disk_usage(place).free
    if free < limits.min_free_gib * _GIB:
        title = f"only {free / _GIB:.1f} GiB are free at {place}; no run is started below {limits.min_free_gib:g}"
        yield Finding("disk", title, "free space; `mlplatform maintain` gives back what the lake no longer needs")


def require_space(home: Home, limits: Watchdog) -> None:
    """Refuse to begin what would fill the disk.

    Raises:
        DiskFullError: less is free than declared.
    """
    for finding in check_disk(home, limits):
        raise DiskFullError(f"{finding.title}: {finding.advice}")


def check_sensors(states: Iterable[SensorState], limits: Watchdog, now: datetime) -> Iterator[Finding]:
    """Sensors that the daemon no longer evaluates, and sensors whose ticks fail."""
    known = list(states)
    # Without a tick nobody knows since when a sensor should have had one: since the daemon has evaluated the others.
    ticking = [state for state in known if state.last_tick and now - state.last_tick <= _allowed(state, limits)]
    begun = min((state.ticking_since for state in ticking if state.ticking_since), default=None)
    for state in known:
        allowed = _allowed(state, limits)
        if state.last_tick is not None and now - state.last_tick > allowed:
            quiet = _minutes(now - state.last_tick)
            title = f"sensor {state.name} has not ticked for {quiet} (every {state.interval.total_seconds():.0f} s)"
            yield Finding(f"sensor {state.name} silent", title, "is the daemon running? See logs/dagster.log")
        if state.last_tick is None and begun is not None and now - begun > allowed:
            title = f"sensor {state.name} has never ticked; others of its use case have for {_minutes(now - begun)}"
            yield Finding(f"sensor {state.name} silent", title, "was it loaded? See logs/dagster.log")
        if state.failed_in_a_row >= limits.failed_ticks:
            title = f"the last {state.failed_in_a_row} ticks of sensor {state.name} failed"
            yield Finding(f"sensor {state.name} failing", title, state.error)


def _allowed(state: SensorState, limits: Watchdog) -> timedelta:
    return max(_LEAST_SILENCE, limits.missed_intervals * state.interval)


def check_sources(states: Iterable[SourceState], now: datetime) -> Iterator[Finding]:
    """Sources that stopped, by the clock on the wall, or fell behind the others, in the data's time."""
    known = list(states)
    newest = max((state.newest_event for state in known if state.newest_event), default=None)
    for state in known:
        if state.complete:
            continue
        yield from _silent(state, now)
        yield from _lagging(state, newest)


def check_backlog(home: Home, use_case: str, limits: Watchdog) -> Iterator[Finding]:
    """Predictions that services wrote down and no ingest has taken into the lake."""
    waiting = sum(_size(path) for path in home.journal(use_case).glob("*"))
    if waiting > limits.max_journal_mib * _MIB:
        title = f"{waiting / _MIB:,.0f} MiB of predictions of {use_case} wait to be taken into the lake"
        yield Finding("journal", title, f"is {use_case}/prediction_log made at all? Look at its last run")


def check_losses(use_case: str, told: str, last: datetime | None, now: datetime) -> Iterator[Finding]:
    """Predictions that services answered and could not write down; wrong for a day after the last one.

    `told`: what was lost, in a sentence; `last`: when, None if nothing was.
    """
    if last is not None and now - last <= _LOSSES_STAY:
        advice = "the queue: see journal.queue_rows; the disk: space and rights of the journal's folder"
        yield Finding("journal losses", f"{use_case}: {told}", advice)


def _silent(state: SourceState, now: datetime) -> Iterator[Finding]:
    limit = state.freshness.max_silence_hours
    if limit is None or state.newest_load is None:
        return
    if now - state.newest_load > timedelta(hours=limit):
        title = f"source {state.name} has brought no row for {_minutes(now - state.newest_load)}"
        yield Finding(f"source {state.name} silent", title, f"its newest event is of {state.newest_event}")


def _lagging(state: SourceState, newest: datetime | None) -> Iterator[Finding]:
    limit = state.freshness.max_lag_days
    if limit is None or newest is None or state.newest_event is None:
        return
    if newest - state.newest_event > timedelta(days=limit):
        title = f"source {state.name} ends {_minutes(newest - state.newest_event)} before the newest source"
        yield Finding(f"source {state.name} behind", title, f"{state.newest_event}; the newest is of {newest}")


def _minutes(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # taken in and removed since it was listed
        return 0
