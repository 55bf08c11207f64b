"""POST /score over the real app: good events, bad events, a lake that moves or disappears, models that change."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.serving.app import create_app
from mlplatform.serving.journal import Journal
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.segments import segments
from mlplatform_tests.serving.raw.conftest import FEATURES, HISTORY, MakeLive, with_text

NEWEST = datetime(2018, 5, 30, 23)
EVENT: dict[str, Any] = {
    "transaction_id": 50_000,
    "event_time": "2018-05-31T08:00:00",
    "customer_id": 3,
    "terminal_id": 5,
    "amount": 42.5,
}


def served(live: Live, raw: RawFeatures, journal: Journal | None = None) -> httpx.AsyncClient:
    raw.adopt(live)
    app = create_app(Slot(live), raw=raw, journal=journal)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def ask(client: httpx.AsyncClient, *bodies: Any) -> list[httpx.Response]:
    """All at once."""

    async def together() -> list[httpx.Response]:
        return list(await asyncio.gather(*(client.post("/score", json=body) for body in bodies)))

    return asyncio.run(together())


def described(client: httpx.AsyncClient) -> Any:
    async def asked() -> Any:
        return (await client.get("/openapi.json")).json()

    return asyncio.run(asked())


@pytest.fixture
def live(make_live: MakeLive, settings: RawSettings) -> Live:
    return make_live("1", settings)


@pytest.fixture
def client(live: Live, home: Home) -> httpx.AsyncClient:
    return served(live, RawFeatures(home))


@pytest.mark.parametrize(("remember", "role"), [(True, "champion"), (False, "question")])
def test_what_somebody_only_asks_about_is_journalled_as_a_question(
    live: Live, home: Home, tmp_path: Path, remember: bool, role: str
) -> None:
    journal = Journal(tmp_path / "journal")
    (reply,) = ask(served(live, RawFeatures(home), journal), {**EVENT, "remember": remember})
    assert reply.status_code == 200, reply.text
    journal.close()
    (line,) = [line for segment in segments(tmp_path / "journal") for _, line in segment.lines(0, 10**6)[0]]
    assert f'"role":"{role}"' in line.decode()


def test_an_event_gets_the_answer_that_its_features_would_get(
    client: httpx.AsyncClient, live: Live, home: Home, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    (reply,) = ask(served(live, RawFeatures(home), journal), {**EVENT, "explain": True})
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert answer["model"]["version"] == "1"
    assert {reason["feature"] for reason in answer["reasons"]} <= set(FEATURES)
    journal.close()
    (line,) = [
        line
        for file in (tmp_path / "journal").rglob("*")
        if file.is_file()
        for line in file.read_text().split("\n")
        if line
    ]
    assert '"transaction_id":"50000"' in line, "the journal knows what the prediction is about"

    import json

    features = json.loads(line)["features"]
    assert set(features) == set(FEATURES)
    assert features["customer_mean_amount_30d"] > 0

    async def predict() -> Any:
        return (await client.post("/predict", json=features)).json()["score"]

    assert asyncio.run(predict()) == answer["score"]


def test_concurrent_requests_share_queries_and_get_their_own_answers(
    client: httpx.AsyncClient, live: Live, home: Home
) -> None:
    """Customers come again at the same instant: rows of one instant do not know each other."""
    events = [
        {**EVENT, "transaction_id": 60_000 + n, "customer_id": n % 8, "terminal_id": 900 + n, "remember": False}
        for n in range(40)
    ]
    together = [reply.json()["score"] for reply in ask(client, *events)]
    alone = [ask(served(live, RawFeatures(home)), event)[0].json()["score"] for event in events[:8]]
    assert together[:8] == alone
    assert len(set(alone)) > 1


def test_a_question_is_seen_by_no_request_that_shares_its_moment_of_asking(live: Live, home: Home) -> None:
    """Of the same customer and terminal, half an hour before, for a million: what did not happen changes nothing."""
    question = {**EVENT, "amount": 1e6, "remember": False}
    events = [{**EVENT, "transaction_id": 70_000 + n, "event_time": "2018-05-31T08:30:00"} for n in range(8)]
    alone = [reply.json()["score"] for reply in ask(served(live, RawFeatures(home)), *events)]
    questions = [{**question, "transaction_id": 71_000 + n} for n in range(8)]
    mixed = [body for pair in zip(questions, events, strict=True) for body in pair]
    beside = ask(served(live, RawFeatures(home)), *mixed)
    assert [reply.json()["score"] for reply in beside[1::2]] == alone
    later = [{**body, "remember": False} for body in events]
    asked = ask(served(live, RawFeatures(home)), *questions, *later)
    assert [reply.json()["score"] for reply in asked[8:]] == alone


def test_a_later_event_sees_an_earlier_one_unless_it_was_a_question_only(live: Live, home: Home) -> None:
    later = {**EVENT, "transaction_id": 50_001, "event_time": "2018-05-31T08:30:00"}

    def hours_since_last(remember: bool) -> float:
        raw = RawFeatures(home)
        client = served(live, raw)
        ask(client, {**EVENT, "remember": remember})

        async def computed() -> Any:
            rows = await raw.compute(live, [dict(later)], remember=False)
            return rows[0][0]["customer_hours_since_last"]

        return float(asyncio.run(computed()))

    assert hours_since_last(remember=True) == pytest.approx(0.5)
    assert hours_since_last(remember=False) > 1


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"amount": -1}, ("amount", "is below the minimum")),
        ({"amount": "much"}, ("amount", "is text")),
        ({"amount": None}, ("amount", "is null")),
        ({"customer_id": 1.5}, ("customer_id", "is not a whole number")),
        ({"customer_id": True}, ("customer_id", "is true or false")),
        ({"transaction_id": 2**63}, ("transaction_id", "does not fit into 64 bits")),
        (
            {"customer_id": 9007199254740993.0},
            ("customer_id", "has lost digits, as a number with a point or an exponent; send it without"),
        ),
        ({"event_time": "yesterday"}, ("event_time", "is not a time")),
        ({"colour": 1}, ("colour", "is no field of an event")),
        ({"amonut": 1}, ("amonut", "is no field of an event; did you mean amount?")),
    ],
)
def test_what_is_wrong_with_an_event_is_named(
    client: httpx.AsyncClient, wrong: Mapping[str, Any], problem: tuple[str, str]
) -> None:
    (reply,) = ask(client, {**EVENT, **wrong})
    assert reply.status_code == 422, reply.text
    assert [(found["field"], found["problem"]) for found in reply.json()["problems"]] == [problem]
    assert not {"much", "yesterday"} & set(reply.text.split('"')), "input is not echoed"


def test_an_event_that_is_sent_again_gets_the_same_answer_whatever_was_said_of_it_before(
    client: httpx.AsyncClient,
) -> None:
    """A client that heard no answer asks again; one that was wrong corrects itself."""
    named = {**EVENT, "explain": False}
    wrong = {**named, "customer_id": 7, "event_time": "2018-05-31T11:00:00"}
    first, again, otherwise, corrected = ask(client, named, named, wrong, named)
    assert [each.status_code for each in (first, again, otherwise, corrected)] == [200] * 4
    assert first.json()["score"] == again.json()["score"] == corrected.json()["score"]


async def test_an_event_that_is_sent_again_is_still_part_of_the_past_of_others_in_the_same_query(
    live: Live, home: Home
) -> None:
    raw = RawFeatures(home)
    await asyncio.to_thread(raw.adopt, live)
    later = {**EVENT, "transaction_id": EVENT["transaction_id"] + 1, "event_time": "2018-05-31T12:30:00"}
    await raw.compute(live, [dict(EVENT)], remember=True)
    alone = await raw.compute(live, [dict(later)], remember=False)
    together = await asyncio.gather(
        raw.compute(live, [dict(EVENT)], remember=True), raw.compute(live, [dict(later)], remember=False)
    )
    assert together[1] == alone


def test_a_missing_field_and_a_repeated_key_are_named(client: httpx.AsyncClient) -> None:
    missing, repeated, both = ask(
        client,
        {key: value for key, value in EVENT.items() if key != "amount"},
        {"rows": [EVENT, EVENT]},
        {"rows": [EVENT, {**EVENT, "transaction_id": 50_001}]},
    )
    assert missing.json()["problems"][0]["problem"] == "is missing"
    assert repeated.json()["problems"] == [
        {"row": 1, "field": "transaction_id", "problem": "came before in this request", "allowed": "each event once"}
    ]
    assert [set(p) >= {"score"} for p in both.json()["predictions"]] == [True, True]


def test_a_lake_that_is_away_is_no_reason_to_tell_clients_where_it_should_be(
    live: Live, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = served(live, RawFeatures(Home(tmp_path / "nowhere")))
    (away,) = ask(client, EVENT)
    assert (away.status_code, away.headers["retry-after"], "POST /predict" in away.text) == (503, "1", True)
    assert "nowhere" not in away.text
    assert "make setup" not in away.text
    assert "there is no lake at" in caplog.text
    assert "/score" in described(client)["paths"]


def test_where_no_lake_is_configured_nobody_is_told_to_come_again(live: Live) -> None:
    client = served(live, RawFeatures(None))
    (never,) = ask(client, EVENT)
    assert (never.status_code, "retry-after" in never.headers) == (404, False)
    assert "started without a lake" in never.json()["error"]
    assert "POST /predict" in never.json()["error"]
    assert "/score" not in described(client)["paths"]


def test_a_row_of_the_year_2100_makes_nothing_of_today_too_old(
    live: Live, home: Home, lake: Lake, past: pa.Table, caplog: pytest.LogCaptureFixture
) -> None:
    (before,) = ask(served(live, RawFeatures(home)), EVENT)
    time = past.column_names.index("event_time")
    ahead = past.slice(0, 1).set_column(
        time, past.schema.field(time), pa.array([datetime(2100, 1, 1)], past.schema[time].type)
    )
    key = ahead.column_names.index("transaction_id")
    ahead = ahead.set_column(key, past.schema.field(key), pa.array([999_999], past.schema[key].type))
    lake.commit(lambda con: replace_table(con, HISTORY, pa.concat_tables([past, ahead])), "a row of 2100")
    (after,) = ask(served(live, RawFeatures(home)), EVENT)
    assert (after.status_code, after.json().get("score")) == (200, before.json()["score"]), after.text
    assert "1 rows of fraud.stg_transactions are more than a day ahead of the clock" in caplog.text


def test_a_lake_of_the_future_only_is_a_history_like_any_other(
    live: Live, home: Home, lake: Lake, past: pa.Table
) -> None:
    time = past.column_names.index("event_time")
    later = [at + timedelta(days=82 * 365) for at in past["event_time"].to_pylist()]
    moved = past.set_column(time, past.schema.field(time), pa.array(later, past.schema[time].type))
    lake.commit(lambda con: replace_table(con, HISTORY, moved), "all of it in the future")
    (reply,) = ask(served(live, RawFeatures(home)), {**EVENT, "event_time": max(later).isoformat()})
    assert reply.status_code == 200, reply.text


def test_new_rows_of_the_lake_are_taken_up_and_other_commits_change_nothing(
    live: Live, home: Home, lake: Lake, past: pa.Table
) -> None:
    raw = RawFeatures(home)
    client = served(live, raw)
    keeper = raw.keeper
    assert keeper is not None
    first = keeper.past
    lake.commit(lambda con: con.execute("CREATE TABLE fraud.other AS SELECT 1 AS a"), "something else")
    assert not keeper.refresh()
    assert keeper.past is first
    ask(client, EVENT)
    assert raw.describe() is not None
    assert raw.describe()["seen"] == 1  # type: ignore[index]
    row = {**EVENT, "event_time": datetime.fromisoformat(EVENT["event_time"]), "label": None, "label_known_at": None}
    lake.commit(
        lambda con: replace_table(
            con, HISTORY, pa.concat_tables([past, pa.Table.from_pylist([row], schema=past.schema)])
        ),
        "the event has arrived",
    )
    assert keeper.refresh()
    assert keeper.past is not first
    ask(client, {**EVENT, "transaction_id": 50_009, "event_time": "2018-05-31T09:00:00", "remember": False})
    assert raw.describe()["seen"] == 0, "what the lake knows need not be remembered"  # type: ignore[index]


def test_an_inlined_insert_of_one_row_is_seen_too(live: Live, home: Home, lake: Lake) -> None:
    raw = RawFeatures(home)
    served(live, raw)
    keeper = raw.keeper
    assert keeper is not None
    assert keeper.past is not None
    rows = keeper.past.size
    lake.commit(
        lambda con: con.execute(
            f"INSERT INTO {HISTORY} SELECT * REPLACE (777777 AS transaction_id) FROM {HISTORY} "
            "ORDER BY event_time DESC LIMIT 1"
        ),
        "one row",
    )
    assert keeper.refresh()
    assert keeper.past.size == rows + 1


def test_a_lake_that_was_put_back_from_a_backup_is_read_again(live: Live, home: Home, lake: Lake) -> None:
    raw = RawFeatures(home)
    served(live, raw)
    assert raw.keeper is not None
    assert raw.keeper.past is not None
    first = raw.keeper.past.size
    backup = lake.catalog.read_bytes()
    with lake.read() as con:
        before = con.execute(f"FROM {HISTORY}").to_arrow_table()
    lake.commit(lambda con: replace_table(con, HISTORY, before.slice(0, 1000)), "a mistake")
    assert raw.keeper.refresh()
    mistaken = raw.keeper.past.size
    for suffix in ("-wal", "-shm"):
        lake.catalog.with_name(lake.catalog.name + suffix).unlink(missing_ok=True)
    lake.catalog.write_bytes(backup)

    assert mistaken != first
    assert raw.keeper.refresh()
    assert raw.keeper.past.size == first


def test_a_lake_that_disappears_leaves_the_last_past_and_comes_back(live: Live, home: Home, lake: Lake) -> None:
    raw = RawFeatures(home)
    client = served(live, raw)
    keeper = raw.keeper
    assert keeper is not None
    away = lake.catalog.with_name("away")
    lake.catalog.rename(away)
    assert not keeper.refresh()
    (reply,) = ask(client, EVENT)
    assert reply.status_code == 200
    assert "there is no lake" in raw.describe()["problem"]  # type: ignore[index]
    away.rename(lake.catalog)
    keeper.refresh()
    assert raw.describe()["problem"] is None  # type: ignore[index]


def test_a_request_that_began_with_one_model_ends_with_it(
    make_live: MakeLive, settings: RawSettings, home: Home
) -> None:
    first, second = make_live("1", settings), make_live("2", settings)
    raw = RawFeatures(home)
    raw.adopt(first)
    raw.adopt(second)
    slot = Slot(first)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(slot, raw=raw)), base_url="http://service")
    (of_first,) = ask(client, EVENT)
    slot.swap(second)
    (of_second,) = ask(client, {**EVENT, "transaction_id": 50_001})
    assert [of_first.json()["model"]["version"], of_second.json()["model"]["version"]] == ["1", "2"]


def test_a_model_whose_text_cannot_run_is_refused(
    make_live: MakeLive, settings: RawSettings, home: Home, lake: Lake
) -> None:
    from mlplatform.errors import LakeError

    broken = make_live("3", with_text(settings, "SELECT nothing FROM lake.fraud.spine"))
    with pytest.raises(LakeError, match="features of fraud cannot be computed"):
        RawFeatures(home).adopt(broken)


def test_one_event_that_spoils_the_query_does_not_spoil_the_others(
    make_live: MakeLive, settings: RawSettings, home: Home
) -> None:
    spoilt = "CASE WHEN amount = 13 THEN error('spoilt') ELSE amount END AS amount"
    text = f"SELECT * REPLACE ({spoilt}) FROM ({settings.query.sql})"
    client = served(make_live("4", with_text(settings, text)), RawFeatures(home))
    replies = ask(client, *({**EVENT, "transaction_id": 1_000_000 + n, "amount": 10.0 + n} for n in range(6)))
    assert [reply.status_code for reply in replies] == [200, 200, 200, 500, 200, 200]
    assert "spoilt" not in replies[3].text


def test_events_may_come_late_but_not_too_late(client: httpx.AsyncClient) -> None:
    late, too_late = ask(
        client,
        {**EVENT, "event_time": (NEWEST - timedelta(days=6)).isoformat()},
        {**EVENT, "transaction_id": 50_002, "event_time": (NEWEST - timedelta(days=9)).isoformat()},
    )
    assert (late.status_code, too_late.status_code) == (200, 409)
    assert too_late.json()["problems"][0]["problem"] == "is older than the history here"


def test_the_document_says_what_an_event_is_and_what_it_gets(client: httpx.AsyncClient) -> None:
    document = described(client)
    example = document["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["examples"]["one"][
        "value"
    ]
    event = {"$ref": "#/components/schemas/Event", "components": document["components"]}
    Draft202012Validator(event).validate(example)
    assert not Draft202012Validator(event).is_valid({**example, "amount": -1})
    (reply,) = ask(client, {**example, "event_time": EVENT["event_time"]})
    answer = {"$ref": "#/components/schemas/OneAnswer", "components": document["components"]}
    Draft202012Validator(answer).validate(reply.json())


@pytest.mark.parametrize("key", [7, 0])
def test_questions_of_one_key_at_once_get_the_answers_that_each_gets_alone(live: Live, home: Home, key: int) -> None:
    events = [
        {**EVENT, "transaction_id": key, "customer_id": n, "terminal_id": n + 3, "amount": 10.0 * n + 1}
        for n in range(6)
    ]
    questions = [{**event, "remember": False} for event in events]
    alone = [ask(served(live, RawFeatures(home)), question)[0].json()["score"] for question in questions]
    assert [answer.json()["score"] for answer in ask(served(live, RawFeatures(home)), *questions)] == alone


def test_a_request_ends_with_its_model_also_when_two_others_went_live_meanwhile(
    make_live: MakeLive, settings: RawSettings, home: Home
) -> None:
    first, second, third = (make_live(version, settings) for version in "123")
    raw = RawFeatures(home)
    for live in (first, second, first, second, third):
        raw.adopt(live)
    (rows,) = asyncio.run(raw.compute(first, [EVENT], remember=False))
    assert len(rows) == 1


def test_what_is_served_again_is_kept_fresh_again(
    make_live: MakeLive, settings: RawSettings, home: Home, past: pa.Table
) -> None:
    (history,) = settings.query.history
    longer = replace(history, lookback_days=history.lookback_days + 1)
    other = replace(settings, query=replace(settings.query, history=(longer,)))
    raw = RawFeatures(home)
    for live in (first := make_live("1", settings), make_live("2", other), first):
        raw.adopt(live)
    snapshot = Lake.at(home).commit(lambda con: replace_table(con, HISTORY, past.slice(0, 100)), "moved").snapshot
    assert raw.keeper is not None
    raw.keeper.refresh()
    assert raw.keeper.snapshot == snapshot
    told = raw.describe()
    assert told is not None
    assert told["rows"] == 100
    (rows,) = asyncio.run(raw.compute(first, [EVENT], remember=False))
    assert rows[0]["customer_count_30d"] == 0


def test_the_document_says_which_times_of_its_format_are_refused(client: httpx.AsyncClient) -> None:
    moment = described(client)["components"]["schemas"]["Event"]["properties"]["event_time"]
    assert "the lower-case z and the leap second (60) are refused" in moment["description"]
    times = ("2018-05-31T08:00:00z", "2018-05-31T23:59:60Z", "20180531T080000Z")
    replies = ask(client, *({**EVENT, "event_time": time, "remember": False} for time in times))
    assert [reply.status_code for reply in replies] == [422, 422, 200]
