"""Alerts that wait to be delivered, and those that were, in the lake: each once per channel.

An alert is written before it is sent, under its key, so raising it twice (a tick that died and came again) writes it
once. It is marked as soon as it was sent, before the next is tried: a process that dies between the two sends that one
a second time, never not at all.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from filelock import FileLock, Timeout

from mlplatform.alerts.alert import Alert
from mlplatform.alerts.open import channel_name, open_channel
from mlplatform.errors import AlertError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import AlertChannel

__all__ = ["Delivery", "alert_table", "deliver", "raise_alerts", "undelivered"]

_COLUMNS = (
    'channel VARCHAR, "key" VARCHAR, use_case VARCHAR, kind VARCHAR, title VARCHAR, "text" VARCHAR, "at" TIMESTAMP, '
    "run_id VARCHAR, tries INTEGER, sent_at TIMESTAMP, error VARCHAR"
)
_ALERT = ", ".join(f'"{field.name}"' for field in fields(Alert))
# A sensor's tick may take 60 s in all; what is left over waits for the next one.
_SECONDS_PER_DELIVERY = 20.0


@dataclass(frozen=True)
class Delivery:
    """What one round of deliveries came to."""

    sent: int
    failed: tuple[str, ...]
    """One sentence per alert and channel that was not delivered."""


def alert_table(use_case: str) -> str:
    """The lake table of the outbox: one row per alert and channel."""
    return f"{use_case}.alerts"


def raise_alerts(lake: Lake, use_case: str, alerts: Sequence[Alert], channels: Sequence[AlertChannel]) -> int:
    """Put alerts into the outbox of every channel that wants their kind; returns how many entries are new."""
    wanted = [(channel_name(channel), alert) for alert in alerts for channel in channels if alert.kind in channel.on]
    known = _known_keys(lake, use_case)
    new = [(channel, alert) for channel, alert in wanted if (channel, alert.key) not in known]
    if not new:
        return 0

    def write(con: Any) -> int:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {use_case}")
        con.execute(f"CREATE TABLE IF NOT EXISTS {alert_table(use_case)} ({_COLUMNS})")
        return sum(_insert(con, use_case, channel, alert) for channel, alert in new)

    return lake.commit(write, f"{len(new)} alerts of {use_case}").value


def deliver(lake: Lake, home: Home, use_case: str, channels: Sequence[AlertChannel], now: datetime) -> Delivery:
    """Send what waits, oldest first, for at most 20 s. A channel that fails is noted and never raises."""
    declared = {channel_name(channel): channel for channel in channels}
    home.locks.mkdir(parents=True, exist_ok=True)
    try:
        # Two sensors (or a sensor and `up`) would send the same alert twice.
        with FileLock(home.locks / f"{use_case}-alerts.lock", timeout=0):
            tried = _try(lake, home, use_case, declared, now)
    except Timeout:
        return Delivery(0, ())
    failed = tuple(f"{channel}: {alert.title}: {error}" for channel, alert, error in tried if error)
    return Delivery(len(tried) - len(failed), failed)


def undelivered(lake: Lake, use_case: str) -> list[tuple[str, str, str]]:
    """Channel, title and error of what no further try will be made for, or that still waits."""
    with lake.read() as con:
        if not table_exists(con, alert_table(use_case)):
            return []
        return con.execute(
            f"SELECT channel, title, coalesce(error, 'waits') FROM {alert_table(use_case)} WHERE sent_at IS NULL "
            'ORDER BY "at"'
        ).fetchall()


Tried = tuple[str, Alert, str | None]
"""Channel, alert, error."""


def _known_keys(lake: Lake, use_case: str) -> set[tuple[str, str]]:
    if not lake.has_table(alert_table(use_case)):
        return set()
    with lake.read() as con:
        return set(con.execute(f'SELECT channel, "key" FROM {alert_table(use_case)}').fetchall())


def _insert(con: Any, use_case: str, channel: str, alert: Alert) -> int:
    # Asked again inside the transaction: somebody else may have raised it meanwhile.
    known = con.execute(
        f'SELECT 1 FROM {alert_table(use_case)} WHERE channel = ? AND "key" = ?', [channel, alert.key]
    ).fetchone()
    if known:
        return 0
    values = [getattr(alert, field.name) for field in fields(Alert)]
    slots = ", ".join("?" for _ in values)
    con.execute(
        f"INSERT INTO {alert_table(use_case)} (channel, {_ALERT}, tries) VALUES (?, {slots}, 0)", [channel, *values]
    )
    return 1


def _waiting(lake: Lake, use_case: str, declared: Mapping[str, AlertChannel]) -> list[tuple[str, Alert]]:
    if not lake.has_table(alert_table(use_case)):
        return []
    with lake.read() as con:
        rows = con.execute(
            f'SELECT channel, tries, {_ALERT} FROM {alert_table(use_case)} WHERE sent_at IS NULL ORDER BY "at"'
        ).fetchall()
    return [(row[0], Alert(*row[2:])) for row in rows if row[0] in declared and row[1] < declared[row[0]].attempts]


def _try(lake: Lake, home: Home, use_case: str, declared: Mapping[str, AlertChannel], now: datetime) -> list[Tried]:
    end = time.monotonic() + _SECONDS_PER_DELIVERY
    tried: list[Tried] = []
    silent: set[str] = set()
    for channel, alert in _waiting(lake, use_case, declared):
        # A channel that just failed would only cost its time-out again.
        if time.monotonic() > end or channel in silent:
            continue
        error = _send(declared[channel], home, alert)
        # Now, not at the end of the round: what breaks later must not make people read this one again.
        _mark(lake, use_case, channel, alert, error, now)
        tried.append((channel, alert, error))
        if error:
            silent.add(channel)
    return tried


def _send(channel: AlertChannel, home: Home, alert: Alert) -> str | None:
    try:
        open_channel(channel, home).send(alert)
    except AlertError as error:
        return str(error)
    except Exception as error:
        # Whatever it is, it is this channel's and no other's; its words may hold an address that is a secret.
        return f"the channel broke ({type(error).__name__})"
    return None


def _mark(lake: Lake, use_case: str, channel: str, alert: Alert, error: str | None, now: datetime) -> None:
    def write(con: Any) -> None:
        con.execute(
            f"UPDATE {alert_table(use_case)} SET tries = tries + 1, sent_at = ?, error = ? "
            'WHERE channel = ? AND "key" = ?',
            [None if error else now, error, channel, alert.key],
        )

    lake.commit(write, f"an alert of {use_case} tried")
