"""What a journal could not keep is on disk, also when the service that counted it is dead."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mlplatform.serving.journal import Journal
from mlplatform.serving.journal_losses import LossFile, forget_losses, read_losses
from mlplatform.serving.segments import segments
from mlplatform_tests.serving.test_journal import KEPT, entry

SMALL = replace(KEPT, queue_rows=2, flush_seconds=0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_where_nothing_is_lost_nothing_is_left(folder: Path) -> None:
    journal = Journal(folder)
    journal.put(entry())
    journal.close()
    assert read_losses(folder).last is None
    assert [path.suffix for path in folder.iterdir()] == [".jsonl"]


def test_what_a_full_queue_turns_away_is_on_disk_at_the_next_flush_while_the_service_lives(folder: Path) -> None:
    journal = Journal(folder)
    for number in range(5):
        journal.put(entry(number, SMALL))
    _wait_for(folder, journal.dropped)
    lost = read_losses(folder)
    assert (lost.dropped, lost.failed, lost.problem) == (3, 0, "")
    assert "3 answered predictions were not kept: 3 turned away by a full queue, 0 refused by the disk" in str(lost)
    journal.close()


def test_a_folder_that_cannot_be_written_is_told_of_beside_it_and_why(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    journal = Journal(folder)
    journal.put(entry(1, KEPT, rows=4))
    journal.close()
    lost = read_losses(folder)
    assert (lost.dropped, lost.failed) == (0, 4)
    assert "FileExistsError" in lost.problem


def test_who_could_write_in_one_place_first_and_then_in_the_other_counts_once(folder: Path) -> None:
    folder.write_text("in the way")
    losses = LossFile(folder)
    assert losses.note(2, 0)
    folder.unlink()
    assert losses.note(5, 1)
    assert read_losses(folder).predictions == 6


def test_where_nothing_can_be_written_the_next_attempt_tells_all(folder: Path) -> None:
    beside = folder.with_name("journal.losses")
    for place in (folder, beside):
        place.write_text("in the way")
    losses = LossFile(folder)
    assert not losses.note(2, 0)
    beside.unlink()
    assert losses.note(3, 0)
    assert read_losses(folder).predictions == 3


def test_what_comes_after_the_end_is_on_disk_too(folder: Path) -> None:
    journal = Journal(folder)
    journal.close()
    journal.put(entry())
    assert read_losses(folder).dropped == 1


def test_a_journal_without_a_thread_tells_with_its_flush(folder: Path) -> None:
    journal = Journal(folder, threaded=False)
    for number in range(3):
        journal.put(entry(number, SMALL))
    journal.flush()
    assert read_losses(folder).dropped == 1
    journal.close()


def test_the_losses_of_several_services_add_up(folder: Path) -> None:
    for failed in (1, 4):
        LossFile(folder).note(10, failed)
    lost = read_losses(folder)
    assert (lost.dropped, lost.failed, lost.predictions) == (20, 5, 25)
    assert lost.first is not None
    assert lost.last is not None
    assert lost.first <= lost.last


def test_losses_are_forgotten_when_nothing_was_lost_since(folder: Path) -> None:
    LossFile(folder).note(1, 0)
    moment = read_losses(folder).last
    assert moment is not None
    assert forget_losses(folder, moment) == 0
    assert forget_losses(folder, moment + timedelta(seconds=1)) == 1
    assert read_losses(folder).predictions == 0


def test_a_file_that_is_none_of_ours_is_told_and_breaks_nothing(folder: Path) -> None:
    LossFile(folder).note(1, 0)
    (folder / "losses" / "0-1-0.json").write_text('{"dropped": 1')
    lost = read_losses(folder)
    assert lost.predictions == 1
    assert "0-1-0.json cannot be read" in lost.problem


KILLED = """
import sys, time
from dataclasses import replace
from pathlib import Path
from mlplatform.serving.journal import Journal
from mlplatform_tests.serving.test_journal_losses import SMALL, entry
journal = Journal(Path(sys.argv[1]))
while True:
    for number in range(100):
        journal.put(entry(number, SMALL))
    print(journal.dropped, flush=True)
    time.sleep(0.02)
"""


def test_a_service_that_was_killed_has_left_what_it_lost_but_for_the_last_moment(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        first = int(process.stdout.readline())
        _wait_for(folder, first)
        os.kill(process.pid, signal.SIGKILL)
        last = int((process.stdout.read().split() or [first])[-1])
    lost = read_losses(folder)
    assert first <= lost.dropped <= last + 100
    assert list(segments(folder))


def _wait_for(folder: Path, count: int) -> None:
    end = time.monotonic() + 30
    while read_losses(folder).predictions < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_times_are_those_of_the_first_and_of_the_last_loss(folder: Path) -> None:
    losses = LossFile(folder)
    losses.note(1, 0)
    first = read_losses(folder).first
    losses.note(2, 0)
    lost = read_losses(folder)
    assert lost.first == first
    assert lost.last is not None
    assert first is not None
    assert lost.last >= first
