"""A challenger beside the champion: whom it answers, and that it can do the champion no harm."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError
from mlplatform.serving.app import create_app, readiness
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.challenger import (
    Challenger,
    Mode,
    challenger_file,
    read_challenger,
    share_taken,
    write_challenger,
)
from mlplatform.serving.codec import loads
from mlplatform.serving.follow_challenger import ChallengerFollower
from mlplatform.serving.journal import Journal, JournalSettings
from mlplatform.serving.journal_ingest import ingest_journal
from mlplatform.serving.metrics import WorkerMetrics
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.segments import segments
from mlplatform.serving.traffic import Traffic
from mlplatform.serving.trial import SHADOW_ROWS, Challenge, Trial
from mlplatform_tests.serving.conftest import FEATURES, GOOD, MakeBundle, write_bundle

KEPT = JournalSettings(enabled=True, keys=("customer",), columns=FEATURES, flush_seconds=0.05)
NAMED = Challenger("fraud", "fraud:v2", "2", "/nowhere", "canary", 0.5, "2018-08-01T00:00:00")
Scenario = Callable[[httpx.AsyncClient], Awaitable[Any]]


def kept(live: Live) -> Live:
    return Live.of(replace(live.bundle, journal=KEPT), live.bento)


@pytest.fixture(scope="session")
def champion(sealed: Path) -> Live:
    return kept(Live.of(load_bundle(sealed), "fraud:v1"))


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Live:
    folder = write_bundle(tmp_path_factory.mktemp("second") / "bundle", "2")
    return kept(Live.of(load_bundle(folder), "fraud:v2"))


def spoilt(live: Live, predict: Callable[[Any], Any]) -> Live:
    """The same bundle with a model that answers as it likes."""
    model = live.bundle.model

    class Spoilt(type(model)):  # type: ignore[misc]
        def predict(self, rows: Any) -> Any:
            return predict(rows)

    other = Spoilt(model.encoding, model.scorer, model.head, model.learned_until)
    return replace(live, bundle=replace(live.bundle, model=other))


def raises(_: Any) -> Any:
    raise RuntimeError("a challenger of no use")


def sleeps(rows: Any) -> Any:
    time.sleep(0.5)
    return np.full(len(rows), 0.5)


def trial_of(live: Live, mode: Mode, share: float = 1.0, folder: Path | None = None, patience: float = 5.0) -> Trial:
    trial = Trial(Journal(folder) if folder else None, patience)
    trial.begin(Challenge.of(replace(NAMED, mode=mode, share=share), live))
    return trial


def client_of(champion: Live, trial: Trial, journal: Journal | None = None) -> httpx.AsyncClient:
    app = create_app(Slot(champion), journal=journal, trial=trial)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def about(customer: str | int) -> dict[str, Any]:
    return {**GOOD, "customer": customer}


async def version_for(client: httpx.AsyncClient, row: dict[str, Any]) -> str:
    reply = await client.post("/predict", json=row)
    assert reply.status_code == 200
    return str(reply.json()["model"]["version"])


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [loads(line) for segment in segments(folder) for _, line in segment.lines(0, 10**9)[0]]


# Who is answered by whom.


@given(entity=st.text(), salt=st.binary(min_size=1, max_size=16), share=st.floats(0, 1), more=st.floats(0, 1))
def test_an_entity_keeps_its_side_and_whoever_is_in_a_share_is_in_every_larger_one(
    entity: str, salt: bytes, share: float, more: float
) -> None:
    taken = share_taken(entity, salt, share)

    assert share_taken(entity, salt, share) is taken
    assert not taken or share_taken(entity, salt, max(share, more))
    assert share_taken(entity, salt, 1.0)
    assert not share_taken(entity, salt, 0.0)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.01, 0.99), version=st.integers(1, 10**6))
def test_over_many_entities_the_share_is_met(share: float, version: int) -> None:
    named, entities = replace(NAMED, version=str(version), share=share), 4000
    taken = sum(named.takes(f"customer={number}") for number in range(entities))

    # Five standard deviations of a binomial: one in two million examples would fail by chance.
    assert abs(taken - share * entities) <= 5 * (entities * share * (1 - share)) ** 0.5 + 1


def test_another_version_meets_other_entities() -> None:
    one, other = replace(NAMED, share=0.5), replace(NAMED, version="3", share=0.5)
    differ = sum(one.takes(str(number)) != other.takes(str(number)) for number in range(2000))

    assert 800 < differ < 1200


@settings(max_examples=20, deadline=None)
@given(customers=st.lists(st.one_of(st.integers(0, 10**9), st.text("abc", max_size=5)), min_size=2, max_size=8))
def test_the_same_entity_always_gets_the_same_model_alone_or_among_others(
    champion: Live, second: Live, customers: list[str | int]
) -> None:
    async def scenario() -> None:
        trial = trial_of(second, "canary", 0.5)
        async with client_of(champion, trial) as client:
            alone = [await version_for(client, about(customer)) for customer in customers]
            again = [await version_for(client, {**about(customer), "amount": 1.0}) for customer in customers]
            reply = (await client.post("/predict", json={"rows": [about(customer) for customer in customers]})).json()
            together = [each.get("model", reply["model"])["version"] for each in reply["predictions"]]
        assert alone == again == together

    asyncio.run(scenario())


async def test_a_request_of_entities_on_both_sides_gets_each_answer_from_its_own_model(
    champion: Live, second: Live, tmp_path: Path
) -> None:
    trial, journal = trial_of(second, "canary", 0.5), Journal(tmp_path)
    rows = [{**about(number), "amount": 30.0 * number} for number in range(20)]
    async with client_of(champion, trial, journal) as client:
        reply = (await client.post("/predict", json={"rows": rows, "explain": False})).json()
    journal.close()

    expected = {live.bundle.version: live.predict(rows, explain=False) for live in (champion, second)}
    versions = [each.pop("model", reply["model"])["version"] for each in reply["predictions"]]
    assert set(versions) == {"1", "2"}
    # A canary's threshold stands beside its name.
    assert {each.pop("threshold", None) for each in reply["predictions"]} == {0.3, None}
    assert reply["predictions"] == [expected[version][i] for i, version in enumerate(versions)]
    journalled = {line["keys"]["customer"]: (line["version"], line["role"]) for line in lines_of(tmp_path)}
    roles = {"1": "champion", "2": "challenger"}
    assert journalled == {str(i): (version, roles[version]) for i, version in enumerate(versions)}


async def test_without_keys_the_request_id_decides(champion: Live, second: Live) -> None:
    trial = trial_of(second, "canary", 0.5)
    assert trial.challenge
    async with client_of(champion, trial) as client:
        for number in range(20):
            reply = await client.post("/predict", json=GOOD, headers={"x-request-id": f"r{number}"})
            expected = "2" if trial.challenge.named.takes(f"r{number}") else "1"
            assert reply.json()["model"]["version"] == expected


async def test_a_bad_request_is_refused_by_the_champion_s_rules_and_is_no_failure_of_the_challenger(
    champion: Live, second: Live
) -> None:
    trial = trial_of(second, "canary")
    async with client_of(champion, trial) as client:
        reply = await client.post("/predict", json={**GOOD, "amount": -1})

    assert reply.status_code == 422
    assert trial.counts.failed == trial.counts.answered == 0


# What a challenger cannot do.


async def test_a_shadow_scores_the_same_rows_after_the_answer_and_is_journalled_as_such(
    champion: Live, second: Live, tmp_path: Path
) -> None:
    trial, journal = trial_of(second, "shadow", folder=tmp_path / "shadow"), Journal(tmp_path / "champion")
    rows = [{**about(number), "amount": 30.0 * number} for number in range(10)]
    async with client_of(champion, trial, journal) as client:
        reply = (await client.post("/predict", json={"rows": rows})).json()
    assert reply["model"]["version"] == "1"
    trial.close()
    journal.close()

    scored, answered = lines_of(tmp_path / "shadow"), lines_of(tmp_path / "champion")
    assert {line["role"] for line in scored} == {"shadow"}
    assert {line["version"] for line in scored} == {"2"}
    assert [line["answer"]["score"] for line in scored] == [
        each["score"] for each in second.predict(rows, explain=False)
    ]
    same = ("request_id", "row", "keys", "features")
    assert [[line[name] for name in same] for line in scored] == [[line[name] for name in same] for line in answered]
    assert trial.counts.shadowed == 10


async def test_a_shadow_that_raises_is_counted_and_the_champion_answers(champion: Live, second: Live) -> None:
    trial = trial_of(spoilt(second, raises), "shadow")
    async with client_of(champion, trial) as client:
        assert [await version_for(client, GOOD) for _ in range(5)] == ["1"] * 5
    trial.close()

    assert trial.counts.failed == 5


async def test_a_shadow_that_sleeps_delays_no_answer_and_what_it_cannot_keep_up_with_is_dropped(
    champion: Live, second: Live
) -> None:
    trial = trial_of(spoilt(second, sleeps), "shadow")
    rows = {"rows": [GOOD] * (SHADOW_ROWS // 2), "explain": False}
    async with client_of(champion, trial) as client:
        await client.post("/predict", json=GOOD)
        began = time.perf_counter()
        for _ in range(4):
            assert (await client.post("/predict", json=rows)).status_code == 200
        for _ in range(20):
            await version_for(client, GOOD)
        took = time.perf_counter() - began
    assert trial.counts.dropped >= SHADOW_ROWS, "of 4,000 rows no more than 2,000 may wait"
    assert took < 10, "the shadow would have slept 12 s for these requests"


@pytest.mark.parametrize("bad", [raises, lambda rows: np.full(len(rows), np.nan)])
async def test_where_a_canary_fails_the_champion_answers_and_it_is_counted(
    champion: Live, second: Live, bad: Callable[[Any], Any]
) -> None:
    trial = trial_of(spoilt(second, bad), "canary")
    async with client_of(champion, trial) as client:
        assert await version_for(client, GOOD) == "1"
        assert (await client.post("/predict", json={"rows": [GOOD] * 3})).json()["model"]["version"] == "1"

    assert (trial.counts.failed, trial.counts.answered) == (2, 0)


async def test_a_canary_that_hangs_costs_its_patience_and_holds_up_nobody_else(champion: Live, second: Live) -> None:
    trial = trial_of(spoilt(second, sleeps), "canary", share=0.5, patience=0.05)
    assert trial.challenge
    theirs = next(n for n in range(100) if trial.challenge.named.takes(f"customer={n}"))
    ours = next(n for n in range(100) if not trial.challenge.named.takes(f"customer={n}"))
    async with client_of(champion, trial) as client:
        hanging = asyncio.create_task(version_for(client, about(theirs)))
        began = time.perf_counter()
        assert await version_for(client, about(ours)) == "1"
        assert time.perf_counter() - began < 0.4, "the hanging one sleeps 0.5 s"
        assert await hanging == "1"

    assert trial.counts.failed == 1


async def test_a_challenger_that_has_become_the_champion_challenges_no_more(champion: Live, second: Live) -> None:
    trial = trial_of(second, "canary")
    async with client_of(second, trial) as client:
        assert await version_for(client, GOOD) == "2"

    assert trial.counts.answered == 0


# How it comes and goes.


def follower_of(tmp_path: Path, champion: Live) -> tuple[ChallengerFollower, Path, Trial]:
    file, trial = challenger_file(tmp_path / "fraud.json"), Trial()
    return ChallengerFollower(file, Slot(champion), trial), file, trial


def test_the_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = challenger_file(tmp_path / "fraud.json")
    write_challenger(file, NAMED)

    assert file.name == "fraud.challenger.json"
    assert read_challenger(file) == NAMED


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"use_case": "fraud"}'])
def test_a_malformed_file_is_an_artifact_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "fraud.challenger.json").write_text(text)

    with pytest.raises(ArtifactError, match="names no challenger"):
        read_challenger(tmp_path / "fraud.challenger.json")


@pytest.mark.parametrize(("wrong", "said"), [({"mode": "duel"}, "shadow or canary"), ({"share": 1.5}, "between 0 and")])
def test_a_mode_or_share_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        replace(NAMED, **wrong)


def test_a_challenger_begins_with_its_file_changes_with_it_and_ends_with_it(
    tmp_path: Path, champion: Live, make_bundle: MakeBundle
) -> None:
    follower, file, trial = follower_of(tmp_path, champion)
    follower.check()
    assert trial.challenge is None
    named = replace(NAMED, path=str(make_bundle("2")))
    write_challenger(file, named)
    follower.check()
    assert trial.challenge
    loaded = trial.challenge.live
    write_challenger(file, replace(named, share=0.9))
    follower.check()
    assert trial.challenge.named.share == 0.9
    assert trial.challenge.live is loaded, "another share loads nothing"
    file.unlink()
    follower.check()
    assert trial.describe() is None


def test_a_broken_challenger_is_refused_ends_the_one_before_and_never_touches_the_champion(
    tmp_path: Path, champion: Live, make_bundle: MakeBundle
) -> None:
    follower, file, trial = follower_of(tmp_path, champion)
    write_challenger(file, replace(NAMED, path=str(make_bundle("2"))))
    follower.check()
    broken = make_bundle("3")
    (broken / "model.txt").write_text("tampered")
    write_challenger(file, replace(NAMED, version="3", path=str(broken)))
    follower.check()

    assert trial.challenge is None
    assert "changed model.txt" in (trial.problem or "")
    told = loads(bytes(readiness(Slot(champion), trial).body))
    assert (told["status"], told["model"]["version"]) == ("ready", "1")
    assert "changed model.txt" in told["challenger"]["problem"]
    assert figures_of(trial)["mlplatform_challenger_refused", ()] == 1


def test_a_bundle_of_another_use_case_is_no_challenger(tmp_path: Path, champion: Live) -> None:
    follower, file, trial = follower_of(tmp_path, champion)
    other = write_bundle(tmp_path / "other", "2", use_case="demand")
    write_challenger(file, replace(NAMED, use_case="demand", path=str(other)))
    follower.check()

    assert "is of demand; here fraud is served" in (trial.problem or "")


def test_readiness_and_metrics_tell_who_challenges(champion: Live, second: Live) -> None:
    trial = trial_of(second, "canary", 0.25)
    told = loads(bytes(readiness(Slot(champion), trial).body))["challenger"]

    assert told == {"version": "2", "bento": "fraud:v2", "mode": "canary", "share": 0.25, "problem": None}
    labels = (("bento", "fraud:v2"), ("mode", "canary"), ("share", "0.25"), ("version", "2"))
    assert figures_of(trial)["mlplatform_challenger_info", labels] == 1


def figures_of(trial: Trial) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What /metrics says: by name and labels, less the worker's."""
    families = WorkerMetrics(Traffic(), Slot(), None, trial, RawFeatures(None)).families()
    return {
        (sample.name, tuple(sorted((name, value) for name, value in sample.labels.items() if name != "worker"))): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


def test_both_journals_go_to_one_table(champion: Live, second: Live, tmp_path: Path, lake: Any) -> None:
    async def scenario() -> None:
        trial, journal = trial_of(second, "shadow", folder=tmp_path), Journal(tmp_path)
        async with client_of(champion, trial, journal) as client:
            await client.post("/predict", json=about(7))
        await asyncio.to_thread(trial.close)
        journal.close()

    asyncio.run(scenario())
    assert ingest_journal(lake, tmp_path, "fraud.prediction_log", ["customer"]).rows == 2
    with lake.read() as con:
        rows = con.execute("SELECT role, model_version, customer FROM fraud.prediction_log ORDER BY role").fetchall()
    assert rows == [("champion", 1, "7"), ("shadow", 2, "7")]
