"""Files read once each, and again when they changed: for a folder or a bucket that grows."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import date

from mlplatform.errors import SpecError
from mlplatform.ingest.batch import Batch, Batches
from mlplatform.ingest.days import Days
from mlplatform.ingest.files import NewestRows, TableFiles, latest_of
from mlplatform.ingest.place import File, found_files
from mlplatform.spec import FilesSource

__all__ = ["FilesFeed"]

_BYTES_PER_BATCH = 64 * 2**20


class FilesFeed:
    """The cursor is the state (size and time of change) of every file that was read and is still there, as JSON."""

    def __init__(self, spec: FilesSource) -> None:
        self.spec = spec

    def batches(self, after: str | None) -> Batches:
        """New and changed files, the oldest first, some together up to 64 MiB as they are stored."""
        listed, known = found_files(self.spec), json.loads(after) if after else {}
        read: dict[str, str] = {file.name: known[file.name] for file in listed if file.name in known}
        for files in _together(_new(listed, read), self.spec.files_per_commit):
            rows = TableFiles(self.spec, files).read_all()
            read |= {file.name: file.state for file in files}
            name = files[0].name if len(files) == 1 else f"{files[0].name} ... {files[-1].name} ({len(files)} files)"
            yield Batch(name, rows, cursor=json.dumps(read, sort_keys=True), latest=latest_of(files))

    def pending(self, after: str | None) -> str | None:
        """Names the new and changed files; reads none of them."""
        new = [(file.name, file.state) for file in _new(found_files(self.spec), json.loads(after) if after else {})]
        return hashlib.sha256(repr(new).encode()).hexdigest()[:16] if new else None

    def between(self, start: date, end: date) -> Batches:
        """Rows of these days from all files, read or not; of rows of one key the one that is read last."""
        if self.spec.time_column is None:
            raise SpecError(f"source `{self.spec.name}` has no time_column, so days of it cannot be read again.")
        reader = NewestRows(self.spec, _in_order(found_files(self.spec)))
        for days in Days(start, end).chunks(31):
            yield Batch(str(days), reader.read(days.start, days.end), days)


def _new(listed: Sequence[File], read: dict[str, str]) -> list[File]:
    return _in_order([file for file in listed if read.get(file.name) != file.state])


def _in_order(files: Sequence[File]) -> list[File]:
    return sorted(files, key=lambda file: (file.changed, file.name))


def _together(files: Sequence[File], most: int) -> Iterator[list[File]]:
    group: list[File] = []
    for file in files:
        if len(group) == most or (group and sum(one.size for one in group) + file.size > _BYTES_PER_BATCH):
            yield group
            group = []
        group.append(file)
    if group:
        yield group
