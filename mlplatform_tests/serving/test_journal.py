"""The journal: answers are kept aside, each once, whatever the disk, a kill or a second reader does."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.app import create_app
from mlplatform.serving.journal import Entry, Journal, JournalSettings, keyed_hash
from mlplatform.serving.journal_ingest import Ingested, ingest_journal
from mlplatform.serving.journal_key import journal_key
from mlplatform.serving.openapi.document import document
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.segments import SegmentWriter, segments
from mlplatform_tests.serving.conftest import FEATURES, GOOD

TABLE = "fraud.prediction_log"
KEYS = ["transaction_id"]
KEPT = JournalSettings(True, ("transaction_id",), "event_time", FEATURES, flush_seconds=0.1)
ABOUT = {"transaction_id": 42, "event_time": "2018-08-01T12:00:00"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake" / "catalog.sqlite", tmp_path / "lake" / "data", tmp_path / "locks")
    made.create()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal(folder, hash_key=b"secret")
    yield opened
    opened.close()


def entry(number: int = 1, kept: JournalSettings = KEPT, rows: int = 1) -> Entry:
    about = [{"transaction_id": number, "event_time": "2018-08-01T12:00:00"}] * rows
    answer = {"score": 0.5, "decision": True, "reasons": [{"feature": "amount", "value": 7.0, "contribution": 1.0}]}
    model = {"version": "1", "bento": "fraud:v1"}
    return Entry(kept, f"request-{number}", model, about, [GOOD] * rows, [answer] * rows, 1.5)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for s in segments(folder) for line in s.path.read_bytes().splitlines()]


def logged(lake: Lake, columns: str = "*") -> list[tuple[Any, ...]]:
    with lake.read() as con:
        return con.execute(f"SELECT {columns} FROM {TABLE} ORDER BY prediction_id").fetchall()


async def ask(live: Live, journal: Journal, body: Any) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(Slot(live), journal=journal), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.post("/predict", json=body)


@pytest.fixture
def keeping(live: Live) -> Live:
    return Live.of(replace(live.bundle, journal=KEPT), live.bento)


async def test_every_prediction_of_an_answered_request_is_in_the_journal(
    keeping: Live, journal: Journal, folder: Path
) -> None:
    answer = await ask(keeping, journal, {"rows": [{**GOOD, **ABOUT}, {**GOOD, "amount": 1.0}]})
    journal.close()

    first, second = lines_of(folder)
    assert first["keys"] == {"transaction_id": "42"}
    assert first["event_time"] == "2018-08-01T12:00:00"
    assert first["features"] == GOOD
    assert first["answer"] == answer.json()["predictions"][0]
    assert first["request_id"] == second["request_id"] == answer.json()["request_id"]
    assert (second["keys"], second["event_time"], second["row"]) == ({}, None, 1)
    assert first["latency_ms"] > 0


async def test_a_refused_request_leaves_no_entry(keeping: Live, journal: Journal, folder: Path) -> None:
    response = await ask(keeping, journal, {**GOOD, "amount": "a lot"})
    journal.close()

    assert response.status_code == 422
    assert lines_of(folder) == []


@pytest.mark.parametrize(
    ("about", "field"),
    [
        ({"event_time": "yesterday"}, "event_time"),
        ({"event_time": 5}, "event_time"),
        ({"event_time": "0001-01-01T00:00:00+14:00"}, "event_time"),
        ({"transaction_id": [1]}, "transaction_id"),
        ({"transaction_id": "x" * 300}, "transaction_id"),
        ({"transaction_id": 42.5}, "transaction_id"),
        ({"transaction_id": -9223372036854775809}, "transaction_id"),
        ({"transaction_id": 1e300}, "transaction_id"),
    ],
)
async def test_a_key_or_time_that_cannot_be_one_is_refused_by_name(
    keeping: Live, journal: Journal, about: dict[str, Any], field: str
) -> None:
    response = await ask(keeping, journal, {**GOOD, **about})

    assert response.status_code == 422
    assert [problem["field"] for problem in response.json()["problems"]] == [field]


async def test_a_whole_number_is_the_same_key_however_it_is_written(
    keeping: Live, journal: Journal, folder: Path
) -> None:
    for key in (42, 42.0, "42"):
        assert (await ask(keeping, journal, {**GOOD, "transaction_id": key})).status_code == 200
    journal.close()

    assert [line["keys"] for line in lines_of(folder)] == [{"transaction_id": "42"}] * 3


def test_the_document_says_by_what_a_prediction_is_found_again(keeping: Live, live: Live) -> None:
    told, silent = (document(each)["components"]["schemas"]["Row"]["properties"] for each in (keeping, live))
    assert "found by it" in told["event_time"]["description"]
    assert "found by it" in told["transaction_id"]["description"]
    assert "transaction_id" not in silent, "nothing is kept of its predictions"


async def test_what_a_row_is_about_changes_no_score(keeping: Live, journal: Journal) -> None:
    plain, about = await ask(keeping, journal, GOOD), await ask(keeping, journal, {**GOOD, **ABOUT})

    assert plain.json()["score"] == about.json()["score"]


def test_only_allowed_columns_are_kept_and_hashed_ones_only_as_a_hash(journal: Journal, folder: Path) -> None:
    kept = replace(KEPT, columns=("channel", "risk"), hashed=("channel", "transaction_id"))
    journal.put(entry(42, kept))
    journal.close()

    [line] = lines_of(folder)
    assert line["features"] == {"channel": keyed_hash(b"secret", "online"), "risk": None}
    assert line["keys"] == {"transaction_id": keyed_hash(b"secret", 42)}
    assert line["answer"]["reasons"] == [{"feature": "amount", "contribution": 1.0}], "a reason must not tell it either"


def test_without_a_key_what_is_to_be_hashed_is_left_out(folder: Path) -> None:
    journal = Journal(folder)
    journal.put(entry(42, replace(KEPT, hashed=("channel",))))
    journal.close()

    assert lines_of(folder)[0]["features"]["channel"] is None


def test_the_key_of_the_hashes_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = journal_key(home)

    assert journal_key(home) == first
    assert len(first) == 64
    assert home.journal_key.stat().st_mode & 0o777 == 0o600


def test_a_full_queue_drops_and_counts_and_never_waits(journal: Journal) -> None:
    small = replace(KEPT, queue_rows=10, flush_seconds=60)
    began = time.perf_counter()
    for number in range(25):
        journal.put(entry(number, small))

    assert time.perf_counter() - began < 1, "60 s is what a wait for the disk would take"
    assert (journal.waiting, journal.dropped) == (10, 15)


def test_a_disk_that_refuses_is_counted_and_the_next_entries_are_written(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.fsync, True

    def fsync(descriptor: int) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("mlplatform.serving.segments.os.fsync", fsync)
    journal.put(entry(1))
    _wait(lambda: journal.failed == 1)
    full = False
    journal.put(entry(2))
    journal.close()

    assert (journal.written, journal.failed) == (1, 1)
    assert [line["request_id"] for line in lines_of(folder)] == ["request-2"]


def test_a_disk_that_takes_a_part_at_a_time_gets_all_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SegmentWriter(folder)
    writer.append(b"first\n")
    whole = writer._file

    class Slow:
        """Three bytes at a time, as `write` may do."""

        def write(self, data: memoryview) -> int:
            assert whole is not None
            return whole.write(data[:3])

        def fileno(self) -> int:
            assert whole is not None
            return whole.fileno()

    monkeypatch.setattr(writer, "_file", Slow())
    writer.append(b"second line\n")
    assert [s.path.read_bytes() for s in segments(folder)] == [b"first\nsecond line\n"]
    monkeypatch.setattr(writer, "_file", whole)
    writer.close()


def test_what_comes_after_the_end_is_dropped_and_counted(journal: Journal, folder: Path) -> None:
    journal.put(entry(1))
    journal.close()
    journal.put(entry(2))
    assert (journal.written, journal.dropped, journal.waiting) == (1, 1, 0)


def test_an_entry_is_on_disk_within_the_promised_time(journal: Journal, folder: Path) -> None:
    journal.put(entry(1, replace(KEPT, flush_seconds=0.4)))
    began = time.perf_counter()
    _wait(lambda: len(lines_of(folder)) == 1)

    assert time.perf_counter() - began < 5, "the clock of a busy machine; the promise itself is 0.4 s"


def test_the_journal_becomes_rows_and_the_read_segments_go(journal: Journal, folder: Path, lake: Lake) -> None:
    for number in range(3):
        journal.put(entry(number, rows=2))
    journal.close()

    assert ingest_journal(lake, folder, TABLE, KEYS) == Ingested(rows=6, segments=1)
    assert list(segments(folder)) == []
    assert ingest_journal(lake, folder, TABLE, KEYS) == Ingested()
    assert logged(lake, "DISTINCT transaction_id, score, decision, model_version, role")[0][1:] == (
        0.5,
        True,
        1,
        "champion",
    )
    assert len(logged(lake)) == 6


def test_a_growing_segment_is_read_as_far_as_it_goes_and_again_from_there(folder: Path, lake: Lake) -> None:
    journal = Journal(folder)
    for number in range(4):
        journal.put(entry(number))
        _wait(lambda number=number: journal.written == number + 1)
        assert ingest_journal(lake, folder, TABLE, KEYS).rows == 1
        assert len(list(segments(folder))) == 1, "its writer lives"
    journal.close()

    assert ingest_journal(lake, folder, TABLE, KEYS).rows == 0
    assert list(segments(folder)) == []
    assert [key for (key,) in logged(lake, "transaction_id")] == ["0", "1", "2", "3"]


def test_two_readers_at_once_double_nothing(folder: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder)
    journal.put(entry(1, rows=5))
    _wait(lambda: journal.written == 5)
    import mlplatform.serving.journal_ingest as module

    real, nested = module._read, [True]

    def read(*args: Any) -> Any:
        if nested.pop() if nested else False:
            # The other reader is quicker, between this one's look at the offset and its commit.
            assert ingest_journal(lake, folder, TABLE, KEYS).rows == 5
        return real(*args)

    monkeypatch.setattr(module, "_read", read)
    assert ingest_journal(lake, folder, TABLE, KEYS).rows == 0
    journal.close()
    assert len(logged(lake)) == 5


def test_what_is_no_entry_is_kept_as_it_is(folder: Path, lake: Lake) -> None:
    writer = SegmentWriter(folder)
    writer.append(b'{"request_id": 1}\nnot json\n')
    writer.close()

    assert ingest_journal(lake, folder, TABLE, KEYS) == Ingested(segments=1, unreadable=2)
    with lake.read() as con:
        kept = con.execute(f"SELECT line FROM {TABLE}_unreadable ORDER BY prediction_id").fetchall()
    assert sorted(kept) == [("not json\n",), ('{"request_id": 1}\n',)]


WITHOUT_END = st.binary(max_size=40).map(lambda line: line.replace(b"\n", b""))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(WITHOUT_END, max_size=8), torn=WITHOUT_END)
def test_whole_lines_are_read_once_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], torn: bytes
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    writer = SegmentWriter(folder)
    writer.append(b"".join(line + b"\n" for line in lines) + torn)
    writer.close()
    [segment] = segments(folder)

    read, place = [], 0
    while True:
        found, place = segment.lines(place, most_bytes=5)
        if not found:
            break
        read += [line.removesuffix(b"\n") for _, line in found]

    assert read == lines
    assert segment.remove_if_ended(place) == len(torn)
    assert not segment.path.exists()


WRITER = """
import sys, time
from pathlib import Path
from mlplatform_tests.serving.test_journal import entry
from mlplatform.serving.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    journal.put(entry(number)); number += 1
    print(number, journal.written, flush=True)
    time.sleep(0.002)
"""


def test_a_killed_writer_loses_nothing_that_was_flushed_and_leaves_a_segment_that_is_read_to_its_end(
    folder: Path, lake: Lake
) -> None:
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [[0, 0]]
            while said[-1][1] <= 100:
                said.append([int(part) for part in process.stdout.readline().split()])
            os.kill(process.pid, signal.SIGKILL)
            rest = [line.split() for line in process.stdout.read().splitlines()]
        put, written = [*said, *([int(part) for part in parts] for parts in rest if len(parts) == 2)][-1]

        done = ingest_journal(lake, folder, TABLE, KEYS)
        assert written <= done.rows <= put + 1
        assert list(segments(folder)) == []
    keys = [key for (key,) in logged(lake, "prediction_id")]
    assert len(keys) == len(set(keys))


def _wait(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("nobody_s", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "1899-12-31T00:00:00"])
async def test_a_time_that_says_no_date_is_refused(keeping: Live, nobody_s: str) -> None:
    """Kept, it would be the oldest or newest event for ever."""
    transport = httpx.ASGITransport(create_app(Slot(keeping)), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        reply = await client.post("/predict", json={**GOOD, "event_time": nobody_s})
    assert reply.status_code == 422
    assert reply.json()["problems"][0]["problem"] == "is not a time"


def test_where_no_thread_is_to_be_had_entries_wait_and_requests_do_not_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    journal = Journal(folder)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        journal.put(entry(1))
    assert journal.waiting == 1
    journal.put(entry(2))
    journal.close()
    assert (journal.written, journal.waiting, journal.failed) == (2, 0, 0)
