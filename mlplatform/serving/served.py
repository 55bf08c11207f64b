"""What each worker really serves, beside the pointer that says what it should: one small file per worker.

Whoever only reads the pointer takes a deployment for live that no worker could load. A file is replaced in one step
when what it tells changes, and touched once a second between: one that was not touched is of a worker that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplatform.serving.pointer import write_document

if TYPE_CHECKING:
    from mlplatform.serving.follow import Follower
    from mlplatform.serving.scoring import Slot

__all__ = ["GONE_SECONDS", "Refused", "Served", "StateFile", "read_served", "served_folder"]

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
GONE_SECONDS = 30.0
"""A worker that has not touched its file for so long does not count any more."""
_FORGOTTEN_SECONDS = 3600.0


@dataclass(frozen=True)
class Refused:
    """A deployment that a worker could not take up. `bento`: "" where the pointer itself cannot be read."""

    bento: str
    version: str
    why: str
    since: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Served:
    """What one worker says of itself. Times are ISO 8601, UTC."""

    host: str
    pid: int
    worker: str
    bento: str
    """What answers; "" where nothing does."""
    version: str
    since: str
    looked_at: str
    """`deployed_at` of the pointer that it took up or refused last; "" before the first that it could read."""
    refused: Refused | None = None


def served_folder(pointer: Path) -> Path:
    """Beside the pointer of the use case: fraud.json, fraud.served/."""
    return pointer.with_suffix(".served")


def read_served(pointer: Path, now: datetime) -> list[Served]:
    """The workers that follow a pointer and are alive at `now` (UTC without a zone), by host and number."""
    since = now.replace(tzinfo=UTC).timestamp() - GONE_SECONDS
    found = [served for file in _files(pointer) for served in _read(file, since)]
    return sorted(found, key=lambda each: (each.host, each.worker, each.pid))


class StateFile:
    """The file of this worker. What goes wrong with it is logged, and keeps nobody from serving."""

    def __init__(self, pointer: Path, slot: Slot, follower: Follower, worker: str) -> None:
        self._slot, self._follower, self._worker = slot, follower, worker
        self._pointer = pointer
        self._file = served_folder(pointer) / f"{socket.gethostname()}-{os.getpid()}.json"
        self._written: Served | None = None
        self._problem = ""
        self._guard, self._closed = threading.Lock(), False

    async def run(self) -> None:
        """Write until cancelled; then leave nothing behind."""
        try:
            while True:
                await asyncio.to_thread(self.write)
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            # A thread that still writes is waited for: the file of a worker that has ended must not come back.
            with self._guard, contextlib.suppress(OSError):
                self._closed = True
                self._file.unlink()

    def write(self) -> None:
        """One look at what is served: a new file if that has changed, else a sign of life."""
        with self._guard:
            if not self._closed:
                self._write()

    def _write(self) -> None:
        told = self._told(datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            if told == self._written:
                os.utime(self._file)
                return
            if self._written is None:
                _remove_forgotten(self._pointer)
            write_document(self._file, asdict(told))
        except OSError as error:
            # An older text would be taken for what is served now: it is not touched, and soon counts no more.
            self._written = None
            if str(error) != self._problem:
                logger.warning("Nobody but /metrics and /readyz can tell what this worker serves: %s", error)
            self._problem = str(error)
            return
        self._written, self._problem = told, ""

    def _told(self, now: str) -> Served:
        """As it is now; what has not changed has been so since it was first told."""
        live, refusal, followed = self._slot.live, self._slot.refusal, self._follower.looked_at
        before = self._written
        told = Served(
            host=socket.gethostname(),
            pid=os.getpid(),
            worker=self._worker,
            bento=live.bento if live else "",
            version=live.bundle.version if live else "",
            since=now,
            looked_at=followed.deployed_at if followed else "",
            refused=Refused(refusal.bento, refusal.version, refusal.why, now) if refusal else None,
        )
        if before is None:
            return told
        if before.bento == told.bento:
            told = replace(told, since=before.since)
        if told.refused and before.refused and replace(before.refused, since=now) == told.refused:
            told = replace(told, refused=before.refused)
        return told


def _remove_forgotten(pointer: Path) -> None:
    """Files of workers that were killed, and so could not take theirs along."""
    oldest = datetime.now(UTC).timestamp() - _FORGOTTEN_SECONDS
    for file in _files(pointer):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < oldest:
                file.unlink()


def _files(pointer: Path) -> list[Path]:
    return sorted(served_folder(pointer).glob("[!.]*.json"))


def _read(file: Path, since: float) -> Iterator[Served]:
    """Nothing of a worker that is gone, or goes meanwhile, or whose version of the platform says it in other words."""
    try:
        if file.stat().st_mtime < since:
            return
        document: dict[str, Any] = json.loads(file.read_bytes())
        refused = document.pop("refused")
        told = Served(**document, refused=Refused(**refused) if refused else None)
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning("%s cannot be read (%s); what its worker serves is not known", file, error)
        return
    yield told
