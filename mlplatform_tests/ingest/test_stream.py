"""Messages of a real Mosquitto and a real NATS server: each row once in the table, whoever dies when."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlplatform.home import Home
from mlplatform.ingest.mqtt import MqttFeed, _Connection
from mlplatform.ingest.nats_stream import NatsFeed
from mlplatform.spec import StreamSource
from mlplatform_tests.brokers import PASSWORD, USER, MqttBroker, NatsServer, mqtt_broker, nats_server
from mlplatform_tests.feeding import Feeding

Broker = MqttBroker | NatsServer


def reading(number: int, **more: Any) -> dict[str, Any]:
    return {"reading_id": number, "event_time": "2024-01-01T10:00:00Z", "sensor": "a", "value": number + 0.5, **more}


def readings(*numbers: int) -> list[dict[str, Any]]:
    return [reading(number) for number in numbers]


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_USER", USER)
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)


@pytest.fixture(params=["mqtt", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    made: Broker = mqtt_broker(folder) if request.param == "mqtt" else nats_server(folder)
    with made.up():
        if isinstance(made, NatsServer):
            made.make_stream()
        yield made


def declared(broker: Broker, **fields: Any) -> dict[str, Any]:
    place: dict[str, Any] = {"user_variable": "BROKER_USER", "password_variable": "BROKER_PASSWORD"}
    if isinstance(broker, MqttBroker):
        place |= {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "topic": "plant/#", "client": "lake"}
    else:
        place |= {"kind": "nats", "url": broker.url, "stream": "PLANT"}
    return {"kind": "stream", "broker": place, "quiet_seconds": 0.3, **fields}


def feeding(folder: Path, broker: Broker, **fields: Any) -> Feeding:
    """A source whose client the broker already knows: MQTT keeps messages from then on."""
    source = Feeding(folder, declared(broker, **fields))
    if isinstance(broker, MqttBroker):
        assert pending(source) is None
    return source


def pending(source: Feeding) -> str | None:
    spec = StreamSource.model_validate({"name": "readings", "key": ["reading_id"], **source.source})
    feed = MqttFeed(spec) if spec.broker.kind == "mqtt" else NatsFeed(spec)
    return feed.pending(source.cursor())


def test_what_was_published_between_two_runs_is_stored_in_micro_batches(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, broker, rows_per_commit=40)
    broker.publish(readings(*range(100)))
    assert pending(source) is not None
    assert source.ingested()["rows_new_or_changed"] == 100
    assert source.ids() == list(range(100))
    assert pending(source) is None
    broker.publish(readings(*range(100, 110)))
    assert source.ingested()["rows_new_or_changed"] == 10
    if isinstance(broker, NatsServer):
        assert broker.acknowledged() == 110


def test_a_message_that_comes_twice_is_one_row_and_the_newer_of_two_counts(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, broker)
    broker.publish([reading(1), reading(2), reading(1), reading(2, value=9.0)])
    assert source.ingested()["rows_replaced_within_a_batch"] == 2
    broker.publish([reading(1)])
    assert source.ingested()["rows_new_or_changed"] == 0
    assert source.rows() == [(1, "a", 1.5), (2, "a", 9.0)]
    assert source.quarantined() == []


def test_a_stream_that_has_had_no_message_yet_is_no_failure_and_says_what_to_check(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = Feeding(tmp_path, declared(broker))
    for _ in range(2):
        told = source.ingested()
        assert told["dagster/row_count"] == 0
        assert "yet" in told["nothing_yet"]
        assert ("quality of service 1" if isinstance(broker, MqttBroker) else "the stream PLANT") in told["nothing_yet"]
        assert PASSWORD not in str(told)
    assert source.cursor() is None
    broker.publish(readings(1))
    assert "nothing_yet" not in source.ingested()
    assert source.rows() == [(1, "a", 1.5)]


def test_a_first_batch_of_poison_alone_is_in_quarantine_and_no_failure(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, broker)
    broker.publish([b"17"])
    assert "nothing_yet" not in source.ingested()
    assert (len(source.quarantined()), source.ids(), pending(source)) == (1, [], None)


def test_a_poisoned_message_goes_to_quarantine_as_it_came_and_the_others_are_stored(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, broker)
    half = b'{"reading_id": 4, "event_time": "2024-01-01", "sensor": "\\ud83d", "value": 1}'
    broker.publish([reading(1), b"\xff\x00 no text", b'{"reading_id": 2', b"17", half, {"other": True}, reading(3)])
    source.ingested()
    assert source.ids() == [1, 3]
    reasons = sorted(reason for reason, _ in source.quarantined())
    assert len(reasons) == 5
    assert any("half a character" in reason for reason in reasons)
    assert any(reason.startswith("the message is not UTF-8") for reason in reasons)
    assert any(reason.startswith("the message is no JSON: ") for reason in reasons)
    assert any(reason.startswith("the message is no JSON object") for reason in reasons)
    assert any("reading_id is missing" in reason for reason in reasons)
    assert any('{\\"reading_id\\": 2' in row for _, row in source.quarantined())
    assert pending(source) is None


def test_more_bad_messages_than_tolerated_stop_the_run_and_come_again(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, broker, tolerated_messages=2)
    broker.publish([reading(1), *[reading(i, value="hot") for i in range(10, 13)]])
    assert "3 of 4 rows (75.0%) break the contract" in source.refused()
    assert (source.cursor(), source.ids()) == (None, [])
    assert pending(source) is not None
    mended = Feeding(tmp_path, source.source | {"tolerated_messages": 3})
    mended.ingested()
    assert source.ids() == [1]
    assert len(source.quarantined()) == 3


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, broker, rows_per_commit=50)
    broker.publish(readings(*range(2000)))
    source.ingest_and_kill(lambda: source.cursor() is not None)
    stored = source.ids()
    assert 0 < len(stored) < 2000
    assert stored == list(range(len(stored)))
    source.ingested()
    assert source.ids() == list(range(2000))
    assert source.ask("SELECT count(*) FROM raw_fraud.readings") == [(2000,)]


def test_messages_outlive_a_broker_that_is_restarted(tmp_path: Path, home: Home) -> None:
    (tmp_path / "broker").mkdir()
    broker = mqtt_broker(tmp_path / "broker")
    with broker.up():
        source = feeding(tmp_path, broker)
        broker.publish(readings(1, 2))
    with broker.up():
        source.ingested()
    assert source.ids() == [1, 2]


def test_a_message_that_says_the_same_again_is_a_new_one(broker: Broker, tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, broker)
    broker.publish([reading(1)])
    first = pending(source)
    source.ingested()
    broker.publish([reading(1)])
    again = pending(source)
    assert first is not None
    assert again not in {first, None}


def test_the_topic_may_name_the_sensor(broker: Broker, tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, broker, topic_column="sensor", columns={"value": "measured.celsius"})
    message = {"reading_id": 1, "event_time": "2024-01-01 10:00:00", "measured": {"celsius": 21.25}}
    if isinstance(broker, MqttBroker):
        broker.publish([message], "plant/oven")
    else:
        broker.publish([message], "plant.oven")
    source.ingested()
    assert source.rows()[0][1].endswith("oven")
    assert source.rows()[0][2] == 21.25


def test_a_list_of_objects_is_as_many_rows(broker: Broker, tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, broker)
    broker.publish([readings(1, 2, 3)])
    source.ingested()
    assert source.ids() == [1, 2, 3]


def told(source: Feeding) -> str:
    message = source.refused()
    assert PASSWORD not in message
    assert source.cursor() is None
    return message


def test_a_wrong_password_and_a_broker_that_is_down_are_told_apart(
    broker: Broker, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Feeding(tmp_path, declared(broker))
    monkeypatch.setenv("BROKER_PASSWORD", "wrong")
    assert "refuses this user or password" in told(source)
    down = type(broker)(broker.folder, 1)
    assert "does not answer" in told(Feeding(tmp_path, declared(down)))


# --- MQTT alone


def test_no_row_of_a_message_can_be_later_than_a_day_after_the_clock_that_was_passed_in(tmp_path: Path) -> None:
    broker = mqtt_broker(tmp_path)
    with broker.up():
        spec = StreamSource.model_validate({"name": "readings", "key": ["reading_id"], **declared(broker)})
        feed = MqttFeed(spec, now=lambda: datetime(2031, 5, 1))
        assert feed.pending(None) is None
        broker.publish(readings(1))
        with closing(feed.batches(None)) as batches:
            assert next(batches).latest == datetime(2031, 5, 2)


def test_a_backlog_that_comes_before_the_broker_confirms_the_subscription_is_read(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Mosquitto confirms behind what it has kept: of 100,000 messages later than is waited for.
    broker = mqtt_broker(tmp_path)
    with broker.up():
        source = feeding(tmp_path, broker)
        broker.publish(readings(1, 2, 3))
        monkeypatch.setattr(_Connection, "_on_subscribe", lambda *_: None)
        source.ingested()
        assert source.ids() == [1, 2, 3]


# --- NATS alone


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = nats_server(tmp_path)
    with made.up():
        made.make_stream()
        yield made


def test_a_stream_that_is_not_there_or_is_a_work_queue_is_named(server: NatsServer, tmp_path: Path, home: Home) -> None:
    given = declared(server)
    given["broker"]["stream"] = "NOTHING"
    assert "has no stream NOTHING. Create it, or correct `stream`" in told(Feeding(tmp_path, given))
    server.make_stream("WORK", ["work.>"], retention="workqueue")
    given["broker"]["stream"] = "WORK"
    assert "the stream WORK is a work queue" in told(Feeding(tmp_path, given))
    server.make_stream("SEEN", ["seen.>"], retention="interest")
    given["broker"]["stream"] = "SEEN"
    assert "the stream SEEN has the retention `interest`" in told(Feeding(tmp_path, given))


def test_a_stream_that_was_made_anew_is_read_from_its_beginning(server: NatsServer, tmp_path: Path, home: Home) -> None:
    source = Feeding(tmp_path, declared(server))
    server.publish(readings(*range(20)))
    source.ingested()
    server.make_stream()
    server.publish(readings(30, 31))
    assert source.ingested()["rows_new_or_changed"] == 2


def test_messages_that_the_server_dropped_before_they_were_read_are_named(
    server: NatsServer, tmp_path: Path, home: Home
) -> None:
    server.make_stream(max_msgs=20)
    source = Feeding(tmp_path, declared(server))
    server.publish(readings(*range(10)))
    assert "left_out" not in source.ingested()
    server.publish(readings(*range(10, 100)))
    assert "dropped the messages 11 to 80 of the stream PLANT" in source.ingested()["left_out"]
    assert source.ids() == [*range(10), *range(80, 100)]
    assert "left_out" not in source.ingested()


def test_a_backfill_leaves_what_came_since_of_a_key(server: NatsServer, tmp_path: Path, home: Home) -> None:
    yesterday, this_day = datetime.now(UTC).date() - timedelta(days=1), datetime.now(UTC).date()
    server.publish([reading(1), reading(1, value=9.0)])
    spec = StreamSource.model_validate({"name": "readings", "key": ["reading_id"], **declared(server)})
    with closing(NatsFeed(spec).between(yesterday, this_day)) as batches:
        values = [value for batch in batches for value in batch.rows["value"].to_pylist()]
    assert values == ["1.5", "9.0"]


def test_messages_of_other_subjects_are_passed_by(server: NatsServer, tmp_path: Path, home: Home) -> None:
    given = declared(server)
    given["broker"]["subject"] = "plant.press"
    source = Feeding(tmp_path, given)
    server.publish(readings(1))
    server.publish(readings(2), "plant.oven")
    source.ingested()
    assert source.ids() == [1]
    server.publish(readings(3), "plant.oven")
    assert pending(source) is not None
    source.ingested()
    assert (source.ids(), pending(source)) == ([1], None)


def test_a_server_too_slow_for_one_answer_loses_no_message_and_ends_no_backfill(
    server: NatsServer, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, today: Callable[[], str]
) -> None:
    source = Feeding(tmp_path, declared(server))
    server.publish(readings(1))
    source.ingested()
    cursor = source.cursor()
    server.publish(readings(2, 3))
    with monkeypatch.context() as hasty:
        hasty.setattr("mlplatform.ingest.nats_client._SILENT_SECONDS", 1e-9)
        source.ingested()
        assert source.cursor() == cursor
        assert "fell silent with 3 messages" in source.refused(first_day=today())
    source.ingested()
    assert source.ids() == [1, 2, 3]


def test_a_backfill_takes_as_long_as_it_takes(
    server: NatsServer, tmp_path: Path, home: Home, today: Callable[[], str]
) -> None:
    server.publish(readings(1, 2, 3))
    source = Feeding(tmp_path, declared(server, seconds_per_run=1e-6, rows_per_commit=1))
    source.ingested(first_day=today())
    assert source.ids() == [1, 2, 3]


def test_days_of_a_stream_are_read_again_by_when_they_were_published(
    server: NatsServer, tmp_path: Path, home: Home, today: Callable[[], str]
) -> None:
    source = Feeding(tmp_path, declared(server))
    server.publish(readings(1, 2))
    source.ingested()
    cursor = source.cursor()
    again = source.ingested(first_day=today())
    assert (again["rows_new_or_changed"], again["days"]) == (0, today())
    assert source.cursor() == cursor


@pytest.fixture
def today() -> Callable[[], str]:
    return lambda: datetime.now(UTC).date().isoformat()
