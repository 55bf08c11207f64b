"""The file in which a worker says what it really serves."""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlplatform.serving.follow import Follower
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform.serving.scoring import Slot
from mlplatform.serving.served import GONE_SECONDS, Served, StateFile, read_served, served_folder
from mlplatform_tests.serving.conftest import MakeBundle

AT = "2026-01-01T00:00:00+00:00"


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    return tmp_path / "deployments" / "fraud.json"


@pytest.fixture
def follower(pointer: Path) -> Follower:
    return Follower(pointer, Slot())


@pytest.fixture
def state(pointer: Path, follower: Follower) -> StateFile:
    return StateFile(pointer, follower._slot, follower, "1")


def point_to(pointer: Path, folder: Path, version: str) -> None:
    write_pointer(pointer, Pointer("fraud", f"fraud:v{version}", version, str(folder), AT))


def only(pointer: Path) -> Served:
    [served] = read_served(pointer, now())
    return served


def test_a_worker_tells_what_answers_and_which_deployment_it_has_looked_at(
    pointer: Path, follower: Follower, state: StateFile, make_bundle: MakeBundle
) -> None:
    state.write()
    before = only(pointer)
    point_to(pointer, make_bundle("1"), "1")
    follower.check()
    state.write()

    assert (before.bento, before.looked_at, before.refused) == ("", "", None)
    assert (only(pointer).bento, only(pointer).version, only(pointer).looked_at) == ("fraud:v1", "1", AT)


def test_what_was_refused_stands_beside_what_answers_until_it_is_refused_no_more(
    pointer: Path, follower: Follower, state: StateFile, make_bundle: MakeBundle
) -> None:
    good = make_bundle("1")
    told = []
    for folder, version in ((good, "1"), (pointer.parent / "nowhere", "2"), (good, "1")):
        point_to(pointer, folder, version)
        follower.check()
        state.write()
        told.append(only(pointer))

    assert [each.bento for each in told] == ["fraud:v1"] * 3
    refused = told[1].refused
    assert refused is not None
    assert (refused.bento, refused.version) == ("fraud:v2", "2")
    assert "nowhere" in refused.why
    assert told[2].refused is None


def test_since_when_it_is_so_does_not_change_while_it_is_so(
    pointer: Path, follower: Follower, state: StateFile
) -> None:
    point_to(pointer, pointer.parent / "nowhere", "2")
    follower.check()
    state.write()
    first = only(pointer)
    os.utime(next(served_folder(pointer).iterdir()), (0, 0))
    gone = read_served(pointer, now())
    state.write()

    assert gone == []
    assert only(pointer) == first


def test_a_worker_that_shows_no_sign_of_life_does_not_count(pointer: Path, state: StateFile) -> None:
    state.write()

    assert len(read_served(pointer, now() + timedelta(seconds=GONE_SECONDS - 5))) == 1
    assert read_served(pointer, now() + timedelta(seconds=GONE_SECONDS + 5)) == []


def test_what_killed_workers_left_is_removed_by_the_next_one(pointer: Path, state: StateFile) -> None:
    folder = served_folder(pointer)
    folder.mkdir(parents=True)
    left = folder / "elsewhere-7.json"
    left.write_text("{}")
    os.utime(left, (0, 0))
    state.write()

    assert not left.exists()
    assert len(list(folder.iterdir())) == 1


async def test_a_worker_that_ends_in_order_leaves_nothing(pointer: Path, state: StateFile) -> None:
    running = asyncio.create_task(state.run())
    while not read_served(pointer, now()):
        await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    state.write()  # by a thread that nobody could stop

    assert list(served_folder(pointer).iterdir()) == []


@pytest.mark.parametrize("text", ["{}", "not JSON", '{"host": "h", "other": 1, "refused": null}', "[]"])
def test_a_file_of_another_version_is_passed_over(pointer: Path, state: StateFile, text: str) -> None:
    state.write()
    (served_folder(pointer) / "other-1.json").write_text(text)
    assert len(read_served(pointer, now())) == 1


def test_a_folder_that_cannot_be_written_is_logged_once_and_keeps_nobody_from_serving(
    pointer: Path, state: StateFile, caplog: pytest.LogCaptureFixture
) -> None:
    pointer.parent.mkdir(parents=True)
    served_folder(pointer).write_text("a file where the folder should be")
    for _ in range(3):
        state.write()

    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_after_a_disk_that_was_full_the_state_is_told_again(pointer: Path, state: StateFile) -> None:
    pointer.parent.mkdir(parents=True)
    blocking = served_folder(pointer)
    blocking.write_text("")
    state.write()
    blocking.unlink()
    state.write()

    assert only(pointer).worker == "1"
