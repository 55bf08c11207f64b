"""The files of the journal: JSON lines, appended by one process, read by another while they grow.

A writer holds a lock (flock) on its segment for as long as it lives; the kernel drops the lock when the process ends,
however it ends. So whoever gets the lock knows that a segment is complete, without asking for process ids, which are
used again. A line counts when its newline is there: what a killed writer left behind it is no line.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from mlplatform.serving.durable import sync_folder

__all__ = ["SUFFIX", "Segment", "SegmentWriter", "segments"]

SUFFIX = ".jsonl"
SEGMENT_BYTES = 16 * 1024 * 1024
_numbers = count()


class SegmentWriter:
    """Appends lines to segments of a folder; a new segment begins when one is full or could not be written."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._limit = segment_bytes
        self._file: IO[bytes] | None = None
        self._size = 0

    def append(self, lines: bytes) -> None:
        """Write whole lines and wait until they are on disk.

        Raises OSError if they are not; the segment then ends before them, and the next call begins another.
        """
        file = self._file or self._begin()
        try:
            _write_all(file, lines)
            os.fsync(file.fileno())
        except OSError:
            self._give_up(file)
            raise
        self._size += len(lines)
        if self._size >= self._limit:
            self.close()

    def close(self) -> None:
        """End the segment; its lock goes with it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> IO[bytes]:
        """Locked before it has its name: no reader ever sees a segment that is alive and unlocked."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns()}-{os.getpid()}-{next(_numbers)}"
        path = self._folder / f".{name}.new"
        file = path.open("xb", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            path.rename(self._folder / f"{name}{SUFFIX}")
            sync_folder(self._folder)
        except OSError:
            file.close()
            raise
        self._file, self._size = file, 0
        return file

    def _give_up(self, file: IO[bytes]) -> None:
        """Cut off what may be half a line, as far as the disk lets us; a reader passes over the rest anyway."""
        self._file = None
        try:
            os.ftruncate(file.fileno(), self._size)
        except OSError:
            pass
        finally:
            file.close()


@dataclass(frozen=True)
class Segment:
    """One file as it is found. `name` is unique for ever: time, process, number."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.name.removesuffix(SUFFIX)

    def lines(self, start: int, most_bytes: int) -> tuple[list[tuple[int, bytes]], int]:
        """Whole lines from the byte `start` on, each with its own start, and the byte behind the last of them.

        At most about `most_bytes` are read; a longer line is still read whole.
        """
        found: list[tuple[int, bytes]] = []
        place = start
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                found.append((place, line))
                place += len(line)
                if place - start >= most_bytes:
                    break
        return found, place

    def remove_if_ended(self, read_until: int) -> int | None:
        """Remove the file if its writer is gone and no whole line lies behind `read_until`.

        Returns the bytes of the torn line that were in it, or None if the file stays.
        """
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.seek(read_until)
                rest = file.read()
                if b"\n" in rest:
                    return None
                self.path.unlink()
                return len(rest)
        except BlockingIOError:
            return None


def segments(folder: Path) -> Iterator[Segment]:
    """All segments of a folder, oldest first."""
    if folder.is_dir():
        yield from (Segment(path) for path in sorted(folder.glob(f"[!.]*{SUFFIX}")))


def _write_all(file: IO[bytes], lines: bytes) -> None:
    """A disk that fills up takes a part of what it is given and says so only by its number."""
    rest = memoryview(lines)
    while len(rest):
        written = file.write(rest)
        if not written:
            raise OSError("the disk takes no more")
        rest = rest[written:]
