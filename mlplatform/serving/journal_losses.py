"""What a journal could not keep, left on disk: the process that counted it may be dead when somebody asks.

Each process has a file of its own beside its segments, with all that it has lost, replaced in one step. Where the
journal's folder itself cannot be written, the file lies in a folder next to it; where neither can, the next attempt
comes with the next entries, and until then only `/metrics` and the log know.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from mlplatform.serving.durable import sync_folder

__all__ = ["LossFile", "Losses", "forget_losses", "read_losses"]

_FOLDER = "losses"
_numbers = count()


@dataclass(frozen=True)
class Losses:
    """Predictions that were answered and not kept. Times are UTC without a zone, by the service's clock."""

    dropped: int = 0
    """A full queue, or a journal that was closed, turned them away."""
    failed: int = 0
    """The disk or the encoding refused them."""
    first: datetime | None = None
    """When the first of them was noted; None if nothing is lost."""
    last: datetime | None = None
    problem: str = ""
    """What the first refusal said; empty where there was none."""

    @property
    def predictions(self) -> int:
        """All together."""
        return self.dropped + self.failed

    def plus(self, other: "Losses") -> "Losses":
        """Both together."""
        times = [time for each in (self, other) for time in (each.first, each.last) if time]
        first, last = (min(times), max(times)) if times else (None, None)
        dropped, failed = self.dropped + other.dropped, self.failed + other.failed
        return Losses(dropped, failed, first, last, self.problem or other.problem)

    def __str__(self) -> str:
        last = f"{self.last:%Y-%m-%d %H:%M:%S} UTC" if self.last else "never"
        why = f" ({self.problem})" if self.problem else ""
        if self.last and not self.predictions:
            return f"an unknown number of answered predictions were not kept{why}; the last at {last}"
        return (
            f"{self.predictions:,} answered predictions were not kept: {self.dropped:,} turned away by a full queue, "
            f"{self.failed:,} refused by the disk{why}; the last at {last}"
        )


class LossFile:
    """The file of one journal; made with the first loss."""

    def __init__(self, journal: Path) -> None:
        self._places = _places(journal)
        self._name = ""
        self._written = Losses()

    def note(self, dropped: int, failed: int, problem: str = "") -> bool:
        """All that has been lost so far; False if it cannot be written now. Waits for the disk."""
        if (dropped, failed) == (self._written.dropped, self._written.failed):
            return True
        # As segments are named, since process ids are used again; not before, since workers may be forked.
        self._name = self._name or f"{time.time_ns()}-{os.getpid()}-{next(_numbers)}.json"
        now = datetime.now(UTC).replace(tzinfo=None)
        told = Losses(dropped, failed, self._written.first or now, now, problem)
        for place in self._places:
            try:
                _write(place, self._name, told)
            except OSError:
                continue
            self._written = told
            return True
        return False


def read_losses(journal: Path) -> Losses:
    """All that the services of a journal have lost and nobody has forgotten yet."""
    newest: dict[str, Losses] = {}
    for path in _files(journal):
        told = _read(path)
        before = newest.get(path.name)
        # Of a process that could write in one place at first, and then only in the other.
        if before is None or before.predictions < told.predictions:
            newest[path.name] = told
    total = Losses()
    for told in newest.values():
        total = total.plus(told)
    return total


def forget_losses(journal: Path, before: datetime) -> int:
    """Remove the files of which nothing was lost since; returns how many."""
    old = [path for path in _files(journal) if (_read(path).last or datetime.min) < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _places(journal: Path) -> Sequence[Path]:
    return (journal / _FOLDER, journal.with_name(f"{journal.name}.{_FOLDER}"))


def _files(journal: Path) -> Iterator[Path]:
    for place in _places(journal):
        if place.is_dir():
            yield from sorted(place.glob("[!.]*.json"))


def _write(place: Path, name: str, told: Losses) -> None:
    place.mkdir(parents=True, exist_ok=True)
    written = place / f".{name}.new"
    with written.open("w", encoding="utf-8") as file:
        json.dump({key: _plain(value) for key, value in asdict(told).items()}, file)
        file.flush()
        os.fsync(file.fileno())
    written.replace(place / name)
    sync_folder(place)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _read(path: Path) -> Losses:
    """What is no such file is a loss of unknown size, and says so: nobody writes half of one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        first, last = (datetime.fromisoformat(told[name]) for name in ("first", "last"))
        return Losses(int(told["dropped"]), int(told["failed"]), first, last, str(told["problem"]))
    except FileNotFoundError:
        return Losses()
    except (OSError, ValueError, KeyError, TypeError) as error:
        changed = datetime.fromtimestamp(path.lstat().st_mtime, UTC).replace(tzinfo=None)
        return Losses(0, 0, changed, changed, f"{path} cannot be read: {error}")
