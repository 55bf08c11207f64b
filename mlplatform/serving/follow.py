"""How a running service takes up a new deployment: poll the pointer, load and warm up aside, swap in one step."""

import asyncio
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from mlplatform.errors import ArtifactError, PlatformError
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.pointer import Pointer, read_pointer
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.scoring import Live, Refusal, Slot

__all__ = ["FileFollower", "Follower", "load_live", "load_named"]

logger = logging.getLogger(__name__)


def load_live(folder: Path, bento: str) -> Live:
    """Verify, load and warm up a bundle. Raises ArtifactError if any of it fails."""
    return Live.of(load_bundle(folder), bento)


class FileFollower(ABC):
    """Looks at a file again and again, and acts when it was replaced or removed."""

    def __init__(self, file: Path, every_seconds: float = 1.0) -> None:
        self._file = file
        self._every = every_seconds
        self._seen: tuple[int, int] | None = (0, 0)  # no file has this stamp: the first look is never skipped

    def check(self) -> None:
        """One look. Blocking (hashes and loads a model): call it outside of the event loop."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            self._changed()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            await asyncio.to_thread(self.check)

    @abstractmethod
    def _changed(self) -> None:
        """Act on the file as it is now. Must not raise: polling goes on."""

    def _stamp(self) -> tuple[int, int] | None:
        """Changes whenever the file is replaced: each write makes a new one. None: there is no file."""
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


class Follower(FileFollower):
    """Keeps a slot at what the pointer names. A bundle that cannot be loaded is refused, and the old one stays.

    A refused deployment is not tried again until the pointer is written again: it is reported once and stays visible
    in readiness, instead of filling the log each second.
    """

    def __init__(
        self, pointer_file: Path, slot: Slot, raw: RawFeatures | None = None, every_seconds: float = 1.0
    ) -> None:
        super().__init__(pointer_file, every_seconds)
        self._slot = slot
        self._raw = raw
        self._followed: Pointer | None = None
        self.looked_at: Pointer | None = None
        """The pointer that was taken up or refused last; None before the first that could be read."""

    def _changed(self) -> None:
        pointer = None
        try:
            pointer = read_pointer(self._file)
            self._take_up(pointer)
        except Exception as error:  # whatever is wrong with a bundle, polling and the model that is live must go on
            foreseen = isinstance(error, PlatformError)
            told = {"event": "deployment_refused"}
            logger.error("Deployment refused, what was live stays: %s", error, exc_info=not foreseen, extra=told)  # noqa: TRY400
            why = str(error) if foreseen else f"{type(error).__name__}: {error}"
            self._slot.refuse(Refusal(why, pointer.bento, pointer.version) if pointer else Refusal(why))
        self.looked_at = pointer or self.looked_at

    def _take_up(self, pointer: Pointer) -> None:
        if pointer == self._followed and self._slot.live:
            self._slot.swap(self._slot.live)  # back to what is live: nothing is refused any more
            return
        live = load_named(pointer)
        if self._raw:
            self._raw.adopt(live)
        self._slot.swap(live)
        self._followed = pointer
        told = {"event": "deployment_swapped", **live.describe()}
        logger.info("Serving %s, version %s", pointer.bento, pointer.version, extra=told)


class Named(Protocol):
    """A file that names a bundle."""

    @property
    def use_case(self) -> str: ...
    @property
    def bento(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def path(self) -> str: ...


def load_named(pointer: Named) -> Live:
    """The bundle that a file names, ready. Raises ArtifactError if it cannot be loaded or is another than named."""
    live = load_live(Path(pointer.path), pointer.bento)
    if (live.bundle.use_case, live.bundle.version) != (pointer.use_case, pointer.version):
        raise ArtifactError(
            f"{pointer.path} holds {live.bundle.use_case} version {live.bundle.version}, but the pointer names "
            f"{pointer.use_case} version {pointer.version}; deploy again"
        )
    return live
