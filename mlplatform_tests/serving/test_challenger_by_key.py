"""Requests by key while there is a challenger, through the app."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.challenger import Challenger, Mode
from mlplatform.serving.codec import loads
from mlplatform.serving.journal import Journal, JournalSettings
from mlplatform.serving.lookup import LookupSettings
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.segments import segments
from mlplatform.serving.trial import Challenge, Trial
from mlplatform_tests.ml.task_data import order_rows, order_training
from mlplatform_tests.serving.test_lookup import newest_order, sealed

KEPT = JournalSettings(enabled=True, keys=("user_id", "item"), columns=("near",), flush_seconds=0.05)


def bundle(folder: Path, version: str, seed: int) -> Live:
    settings = LookupSettings(("user_id",), "items", ("item",), "event_time", {"user_id": 0}, "k", usual=5)
    made = sealed(folder, newest_order(), settings, order_training(), order_rows(seed=seed))
    write_manifest(made, "case", version, {})
    loaded = load_bundle(made)
    return Live.of(replace(loaded, journal=KEPT), f"case:v{version}")


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Live, Live]:
    folder = tmp_path_factory.mktemp("films")
    return bundle(folder / "one", "1", 0), bundle(folder / "two", "2", 1)


def trial_of(live: Live, mode: Mode, share: float, folder: Path) -> Trial:
    trial = Trial(Journal(folder))
    trial.begin(Challenge.of(Challenger("case", "case:v2", "2", "", mode, share, ""), live))
    return trial


def client_of(live: Live, trial: Trial) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(Slot(live), trial=trial)), base_url="http://x")


async def test_the_key_decides_whose_list_it_is_whatever_else_is_asked(
    lives: tuple[Live, Live], tmp_path: Path
) -> None:
    champion, challenger = lives
    trial = trial_of(challenger, "canary", 0.5, tmp_path)
    assert trial.challenge
    async with client_of(champion, trial) as client:
        for user in (0, 1, 2):
            live = challenger if trial.challenge.named.takes(f"user_id={user}") else champion
            for request in ({"user_id": user}, {"user_id": user, "k": 3}):
                said = (await client.post("/predict", json=request)).json()
                expected = live.look_up(request, explain=True)
                assert not isinstance(expected, str)
                assert said["items"] == expected.content["items"]
                assert said["model"]["version"] == live.bundle.version
    asked = [trial.challenge.named.takes(f"user_id={user}") for user in (0, 1, 2)]
    assert trial.counts.answered == 2 * sum(asked)


async def test_an_unreadable_key_is_refused_and_is_no_failure(lives: tuple[Live, Live], tmp_path: Path) -> None:
    trial = trial_of(lives[1], "canary", 1.0, tmp_path)
    async with client_of(lives[0], trial) as client:
        assert (await client.post("/predict", json={"user_id": "anna"})).status_code == 422

    assert trial.counts.failed == 0


async def test_a_shadow_makes_its_own_list_for_the_key(lives: tuple[Live, Live], tmp_path: Path) -> None:
    champion, challenger = lives
    trial = trial_of(challenger, "shadow", 1.0, tmp_path)
    async with client_of(champion, trial) as client:
        said = (await client.post("/predict", json={"user_id": 1, "k": 4})).json()
    trial.close()

    lines = [loads(line) for segment in segments(tmp_path) for _, line in segment.lines(0, 10**9)[0]]
    expected = challenger.look_up({"user_id": 1, "k": 4}, explain=True)
    assert not isinstance(expected, str)
    assert [line["keys"]["item"] for line in lines] == [str(item["item"]) for item in expected.content["items"]]
    assert {(line["role"], line["version"], line["request_id"]) for line in lines} == {
        ("shadow", "2", said["request_id"])
    }
    assert said["model"]["version"] == "1"
