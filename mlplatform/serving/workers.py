"""The metrics of several workers behind one port: a scrape reaches one of them, which answers for all.

Each worker writes what it knows to a file of its own, once a second and only while there are others. The mode that
prometheus_client has for this maps each value into a file; it cost BentoML a third of its throughput (64 connections).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlplatform.errors import ArtifactError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["MOST_WORKERS", "WORKERS_VARIABLE", "Workers", "shared_folder", "worker_count"]

logger = logging.getLogger(__name__)

WORKERS_VARIABLE = "MLPLATFORM_WORKERS"
MOST_WORKERS = 256
EVERY_SECONDS = 1.0
GONE_SECONDS = 10.0
"""A worker that has not written for so long does not count any more."""


def worker_count(environment: Mapping[str, str]) -> int:
    """How many processes answer behind one port; 1 if nothing is said. Raises ArtifactError on another word."""
    text = environment.get(WORKERS_VARIABLE, "1")
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise ArtifactError(f"{WORKERS_VARIABLE}={text!r}: take a whole number from 1 to {MOST_WORKERS}")
    return int(text)


def shared_folder() -> Path:
    """For the workers of one supervisor, readable by their user alone.

    Raises ArtifactError if somebody else made it.
    """
    folder = Path(tempfile.gettempdir()) / f"mlplatform-workers-{os.getuid()}-{os.getppid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ArtifactError(f"{folder} is not this user's alone; remove it")
    return folder


class Workers:
    """This worker among the others."""

    def __init__(self, place: Callable[[], Path], worker: str, families: Callable[[], list[Metric]]) -> None:
        """`place`: gives the folder when the worker runs; whoever only imports the service makes none."""
        self._place = place
        self._worker = worker
        self._families = families
        self._folder: Path | None = None

    async def run(self) -> None:
        """Write, or only show that this worker is there, until cancelled."""
        try:
            folder = self._folder = self._place()
            while True:
                await asyncio.to_thread(self.write, folder)
                await asyncio.sleep(EVERY_SECONDS)
        except (OSError, ArtifactError) as error:
            logger.warning("Metrics of several workers cannot be shared: %s", error)
        finally:
            self._leave()

    def write(self, folder: Path) -> None:
        """Alone, one stamp of a file; else what this worker knows."""
        own = folder / f"{self._worker}.json"
        if not self._files():
            own.touch(mode=0o600)
            return
        told = [
            [family.name, family.documentation, family.type, [[s.name, s.labels, s.value] for s in family.samples]]
            for family in self._families()
        ]
        fresh = own.with_suffix(".new")
        fresh.write_text(json.dumps(told), encoding="utf-8")
        fresh.replace(own)

    def _leave(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            with contextlib.suppress(OSError):
                (folder / f"{self._worker}.json").unlink()
                folder.rmdir()

    def families(self) -> list[Metric]:
        """What the other workers last wrote."""
        from prometheus_client.core import Metric

        found: list[Metric] = []
        for file in self._files():
            for name, documentation, kind, samples in _read(file):
                family = Metric(name, documentation, kind)
                for sample, labels, value in samples:
                    family.add_sample(sample, labels, value)
                found.append(family)
        return found

    def _files(self) -> list[Path]:
        """Of the others that are alive."""
        since = time.time() - GONE_SECONDS
        others: list[Path] = []
        if self._folder is None:
            return others
        for file in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):
                if file.stem != self._worker and file.stat().st_mtime >= since:
                    others.append(file)
        return others


def _read(file: Path) -> list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]:
    """Nothing of a worker that has not written yet, or has just ended."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return json.loads(text) if text else []
