"""Each alert once per channel, whatever fails on the way."""

import threading
import time
from dataclasses import replace
from datetime import datetime

import pytest

from mlplatform.alerts.alert import Alert
from mlplatform.alerts.outbox import deliver, raise_alerts, undelivered
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import AlertChannel, EmailChannel, LogChannel, WebhookChannel
from mlplatform_tests.alerts.conftest import MailServer, Receiver

NOW = datetime(2024, 1, 1, 13)


@pytest.fixture
def channels(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> list[AlertChannel]:
    monkeypatch.setenv("HOOK_URL", receiver.url)
    return [LogChannel(kind="log"), WebhookChannel(kind="webhook", url_env="HOOK_URL", on=["run_failed"], attempts=2)]


def log_lines(home: Home) -> int:
    return len(home.alert_log.read_bytes().splitlines()) if home.alert_log.exists() else 0


def test_an_alert_that_is_raised_twice_is_delivered_once_by_each_channel(
    lake: Lake, home: Home, channels: list[AlertChannel], receiver: Receiver, alert: Alert
) -> None:
    assert raise_alerts(lake, "fraud", [alert, alert], channels) == 2
    assert raise_alerts(lake, "fraud", [alert], channels) == 0
    assert deliver(lake, home, "fraud", channels, NOW).sent == 2
    assert deliver(lake, home, "fraud", channels, NOW).sent == 0
    assert (len(receiver.bodies), log_lines(home)) == (1, 1)


def test_a_channel_gets_only_what_it_asked_for(
    lake: Lake, home: Home, channels: list[AlertChannel], receiver: Receiver, alert: Alert
) -> None:
    raise_alerts(lake, "fraud", [replace(alert, kind="healed")], channels)
    deliver(lake, home, "fraud", channels, NOW)
    assert (len(receiver.bodies), log_lines(home)) == (0, 1)


def test_a_receiver_that_is_down_costs_the_others_nothing_and_is_tried_as_often_as_declared(
    lake: Lake, home: Home, channels: list[AlertChannel], receiver: Receiver, alert: Alert
) -> None:
    receiver.status = 503
    raise_alerts(lake, "fraud", [alert], channels)
    first = deliver(lake, home, "fraud", channels, NOW)
    assert first.sent == 1
    assert first.failed == ("webhook HOOK_URL: a run failed at <features>: the receiver answered with status 503",)
    for _ in range(3):
        deliver(lake, home, "fraud", channels, NOW)
    assert len(receiver.bodies) == 2
    assert log_lines(home) == 1
    assert undelivered(lake, "fraud") == [
        ("webhook HOOK_URL", "a run failed at <features>", "the receiver answered with status 503")
    ]


def test_a_receiver_that_comes_back_gets_what_waited(
    lake: Lake, home: Home, channels: list[AlertChannel], receiver: Receiver, alert: Alert
) -> None:
    receiver.status = 503
    raise_alerts(lake, "fraud", [alert], channels)
    deliver(lake, home, "fraud", channels, NOW)
    receiver.status = 204
    deliver(lake, home, "fraud", channels, NOW)
    assert undelivered(lake, "fraud") == []
    assert [body["key"] for body in receiver.bodies] == ["run 7", "run 7"]


def test_a_variable_that_is_not_set_is_a_failed_delivery_and_no_crash(
    lake: Lake, home: Home, channels: list[AlertChannel], alert: Alert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_URL")
    raise_alerts(lake, "fraud", [alert], channels)
    [failed] = deliver(lake, home, "fraud", channels, NOW).failed
    assert "HOOK_URL is not set" in failed


def test_a_channel_that_breaks_is_its_own_failed_try_and_nobody_gets_anything_twice(
    lake: Lake, home: Home, channels: list[AlertChannel], receiver: Receiver, mail_server: MailServer, alert: Alert
) -> None:
    """As an address did that no check saw: the parser of the message raises what nobody thought of."""
    broken = EmailChannel(
        kind="email", port=mail_server.port, sender="ml@example.org", to=["b@example.org"], attempts=2
    )
    broken = broken.model_copy(update={"to": ["ops@"]})
    raise_alerts(lake, "fraud", [alert], [*channels, broken])
    for _ in range(4):
        deliver(lake, home, "fraud", [*channels, broken], NOW)
    assert (len(receiver.bodies), log_lines(home)) == (1, 1)
    assert undelivered(lake, "fraud") == [
        ("email ops@", "a run failed at <features>", "the channel broke (IndexError)")
    ]
    with lake.read() as con:
        assert con.execute("SELECT tries FROM fraud.alerts WHERE channel = 'email ops@'").fetchall() == [(2,)]


def test_what_was_delivered_is_marked_before_the_next_channel_is_tried(
    lake: Lake, home: Home, channels: list[AlertChannel], alert: Alert, dripping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_URL", f"http://127.0.0.1:{dripping}/hook")
    raise_alerts(lake, "fraud", [alert], channels)
    round_of_deliveries = threading.Thread(target=deliver, args=(lake, home, "fraud", channels, NOW), daemon=True)
    round_of_deliveries.start()
    waiting, end = {"log", "webhook HOOK_URL"}, time.monotonic() + 4
    while time.monotonic() < end and "log" in waiting:
        waiting = {channel for channel, _, error in undelivered(lake, "fraud") if error == "waits"}
    assert waiting == {"webhook HOOK_URL"}
    round_of_deliveries.join()
