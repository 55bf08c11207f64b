"""The prediction journal: what a service answered, written aside by a thread of its own.

A request hands its entry over in a microsecond and never waits, whatever the disk does. What is lost at most: the
entries of `flush_seconds` when the process is killed, and those that a full queue turns away or the disk refuses, which
are counted here and on disk (`journal_losses`).
"""

import hashlib
import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from mlplatform.serving.bundle_settings import load_settings, save_settings
from mlplatform.serving.codec import dumps
from mlplatform.serving.identity import Identity
from mlplatform.serving.journal_losses import LossFile
from mlplatform.serving.segments import SegmentWriter

__all__ = ["SETTINGS_FILE", "Entry", "Journal", "JournalSettings", "journal_of", "keyed_hash"]

logger = logging.getLogger(__name__)

SETTINGS_FILE = "journal.json"
_MOST_PER_WRITE = 2000
_NOTE_SECONDS = 1.0
_GIVE_WAY = 16
"""Entries that are encoded in one go: a third of a millisecond."""


@dataclass(frozen=True)
class JournalSettings:
    """What is kept, in the bundle as JSON. `columns`: features; `hashed`: features and keys."""

    enabled: bool = False
    keys: tuple[str, ...] = ()
    event_time: str = ""
    columns: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    flush_seconds: float = 1.0
    queue_rows: int = 20000

    @property
    def identity(self) -> Identity:
        """What requests may name beside the features."""
        return Identity(self.keys, self.event_time)

    def save(self, folder: Path) -> None:
        """Write SETTINGS_FILE."""
        save_settings(folder / SETTINGS_FILE, self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A bundle without the file keeps nothing. Raises ArtifactError when it is not what `save` writes."""
        path = folder / SETTINGS_FILE
        if not path.exists():
            return cls()
        lists = ("keys", "columns", "hashed")
        return load_settings(
            path,
            "the settings of a journal",
            lambda told: cls(**{**told, **{name: tuple(told[name]) for name in lists}}),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """The predictions of one request. `about`: what each row is about (keys and event time), `features`: its features,
    `answers`: what was said of it; one each per prediction. `role`: champion, or who else scored."""

    settings: JournalSettings
    request_id: str
    model: Mapping[str, str]
    about: Sequence[Mapping[str, Any]]
    features: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]
    latency_ms: float
    role: str = "champion"


class Journal:
    """Takes entries and writes them to segments of `folder` until it is closed."""

    def __init__(self, folder: Path, hash_key: bytes | None = None, *, threaded: bool = True) -> None:
        """`hash_key`: for the columns that are kept as a hash; without one they are left out.

        `threaded`: False where the process is stopped between requests; then only `flush` writes.
        """
        self._writer = SegmentWriter(folder)
        self._losses = LossFile(folder)
        self._noted_at = 0.0
        self._problem = ""
        self._key = hash_key
        self._threaded = threaded
        self._queue: deque[tuple[float, Entry]] = deque()
        # Each is counted up by one thread only: the event loop, and the writer.
        self._came = self._went = 0
        self._flush_seconds = 1.0
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.written = self.dropped = self.failed = 0

    @property
    def waiting(self) -> int:
        """Predictions that are not on disk yet."""
        return self._came - self._went

    def put(self, entry: Entry) -> None:
        """Hand an entry over, from one thread; it is dropped and counted when too many wait."""
        rows = len(entry.answers)
        if self._closed:
            self.dropped += rows
            # Nobody else will: the thread has ended, and so does the service.
            self._note_losses()
            return
        if self.waiting + rows > entry.settings.queue_rows:
            self.dropped += rows
        else:
            self._came += rows
            self._flush_seconds = entry.settings.flush_seconds
            self._queue.append((time.time(), entry))
        if self._threaded and self._thread is None:
            self._start()

    def flush(self) -> None:
        """Write what waits, and wait for the disk. Only of a journal without a thread, by whoever puts."""
        assert not self._threaded, "the thread of this journal writes; two would mix their lines"
        self._write_all()

    def close(self) -> None:
        """Write what waits and end the thread; what comes now is dropped and counted."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wake.set()
            thread.join()
        self._write_all()
        self._writer.close()

    def _start(self) -> None:
        """With the first entry, not before: workers are forked, and threads do not come along."""
        self._wake.clear()
        thread = threading.Thread(target=self._run, name="journal", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # No thread is to be had: no request may fail for it, and the next entry tries again.
            logger.error("The journal's thread cannot be started (%s); predictions wait", error)  # noqa: TRY400
            return
        self._thread = thread

    def _run(self) -> None:
        # Half of what is promised: the other half is for encoding and for the disk.
        while not self._wake.wait(self._flush_seconds / 2):
            self._write_all()

    def _write_all(self) -> None:
        while self._queue:
            self._write_some()
            # Where entries come faster than they are written this loop does not end.
            if time.monotonic() - self._noted_at > _NOTE_SECONDS:
                self._note_losses()
        self._note_losses()

    def _note_losses(self) -> None:
        self._noted_at = time.monotonic()
        if self.dropped or self.failed:
            self._losses.note(self.dropped, self.failed, self._problem)

    def _write_some(self) -> None:
        """Some entries at a time: the thread takes turns with the requests."""
        lines: list[bytes] = []
        rows = done = 0
        while self._queue and rows < _MOST_PER_WRITE:
            at, entry = self._queue.popleft()
            rows += len(entry.answers)
            try:
                lines += self._lines(at, entry)
            except (ValueError, TypeError) as error:
                self._failed(len(entry.answers), error)
            done += 1
            if done % _GIVE_WAY == 0:
                # The interpreter would let this thread go on for 5 ms, and a request would wait for it.
                time.sleep(0)
        try:
            if lines:
                self._writer.append(b"".join(lines))
            self.written += len(lines)
        except Exception as error:
            self._failed(len(lines), error)
        self._went += rows

    def _failed(self, rows: int, error: Exception) -> None:
        if not self.failed:
            self._problem = f"{type(error).__name__}: {error}"
            logger.error("Predictions cannot be journalled (%s); they are counted as failed", error)
        self.failed += rows

    def _lines(self, at: float, entry: Entry) -> list[bytes]:
        moment = datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat()
        settings, identity = entry.settings, entry.settings.identity
        return [
            dumps(
                {
                    "request_id": entry.request_id,
                    "row": number,
                    "predicted_at": moment,
                    "event_time": identity.time_of(about),
                    "keys": self._hidden(identity.keys_of(about), settings),
                    "features": self._hidden({n: row[n] for n in settings.columns if n in row}, settings),
                    "answer": self._answer(answer, settings),
                    "version": entry.model["version"],
                    "bento": entry.model["bento"],
                    "role": entry.role,
                    "latency_ms": entry.latency_ms,
                }
            )
            + b"\n"
            for number, (about, row, answer) in enumerate(zip(entry.about, entry.features, entry.answers, strict=True))
        ]

    def _answer(self, answer: Mapping[str, Any], settings: JournalSettings) -> Mapping[str, Any]:
        """Reasons name values of features: what is not kept there is not kept here."""
        if "reasons" not in answer:
            return answer
        reasons = [
            {**reason, "value": self._kept(reason["feature"], reason["value"], settings)}
            if reason["feature"] in settings.columns
            else {name: part for name, part in reason.items() if name != "value"}
            for reason in answer["reasons"]
        ]
        return {**answer, "reasons": reasons}

    def _hidden(self, values: dict[str, Any], settings: JournalSettings) -> dict[str, Any]:
        if not settings.hashed:
            return values
        return {name: self._kept(name, value, settings) for name, value in values.items()}

    def _kept(self, name: str, value: Any, settings: JournalSettings) -> Any:
        if name not in settings.hashed or value is None:
            return value
        return keyed_hash(self._key, value) if self._key else None


def keyed_hash(key: bytes, value: Any) -> str:
    """HMAC-SHA256 of the value as text, in hex: equal values stay equal, and nobody without the key can try them."""
    return hmac.new(key, str(value).encode(), hashlib.sha256).hexdigest()


def journal_of(folder: str | None, hash_key: str | None, *, threaded: bool = True) -> Journal | None:
    """The journal of a service's environment; None where it names no folder."""
    return Journal(Path(folder), hash_key.encode() if hash_key else None, threaded=threaded) if folder else None
