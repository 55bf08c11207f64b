"""Every channel against a real receiver on this machine."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from pydantic import ValidationError

from mlplatform.alerts.alert import Alert
from mlplatform.alerts.http import Slack, Webhook
from mlplatform.alerts.log import Log
from mlplatform.alerts.mail import Mail
from mlplatform.alerts.open import open_channel
from mlplatform.cli.demo import free_port
from mlplatform.errors import AlertError
from mlplatform.home import Home
from mlplatform.spec import EmailChannel, SlackChannel, WebhookChannel
from mlplatform_tests.alerts.conftest import MailServer, Receiver


def test_a_webhook_gets_the_alert_as_json_with_its_token(receiver: Receiver, alert: Alert) -> None:
    Webhook(receiver.url, timeout_seconds=5, token="open sesame").send(alert)
    [body] = receiver.bodies
    assert body["title"] == "a run failed at <features>"
    assert body["at"] == "2024-01-01T12:00:00Z"
    assert set(body) == {"key", "use_case", "kind", "title", "text", "at", "run_id"}
    assert receiver.tokens == ["Bearer open sesame"]


def test_slack_gets_text_and_a_block_in_which_nothing_is_markup(receiver: Receiver, alert: Alert) -> None:
    Slack(receiver.url, timeout_seconds=5).send(replace(alert, text=alert.text + "x" * 5000))
    [body] = receiver.bodies
    assert body["text"] == "a run failed at &lt;features&gt;"
    [block] = body["blocks"]
    assert block["text"]["text"].startswith("*a run failed at &lt;features&gt;*\nno dbt &amp; no hope")
    assert len(block["text"]["text"]) < 3000


def test_mail_arrives_at_a_real_server_with_subject_recipients_and_text(mail_server: MailServer, alert: Alert) -> None:
    mail = Mail("127.0.0.1", mail_server.port, "ml@example.org", ("a@example.org", "b@example.org"), 5)
    mail.send(replace(alert, title="two\r\nBcc: everybody@example.org"))
    [message] = mail_server.messages
    assert message["Subject"] == "[fraud] two Bcc: everybody@example.org"
    assert mail_server.recipients == [["a@example.org", "b@example.org"]]
    assert message.get_content().startswith("no dbt & no hope\r\nrun 7")


def test_a_log_is_one_line_of_json_per_alert(tmp_path: Path, alert: Alert) -> None:
    log = Log(tmp_path / "logs" / "alerts.log")
    log.send(alert)
    log.send(replace(alert, key="run 8"))
    assert [orjson.loads(line)["key"] for line in log.path.read_bytes().splitlines()] == ["run 7", "run 8"]


@pytest.mark.parametrize("status", [301, 400, 404, 500])
def test_an_answer_that_is_not_2xx_is_a_failure_that_names_it(receiver: Receiver, alert: Alert, status: int) -> None:
    receiver.status = status
    with pytest.raises(AlertError, match=str(status)):
        Webhook(receiver.url, timeout_seconds=5).send(alert)


def test_a_receiver_that_does_not_answer_in_time_is_a_failure_that_keeps_the_secret(
    receiver: Receiver, alert: Alert
) -> None:
    receiver.delay = 1.0
    with pytest.raises(AlertError, match=r"not delivered within 0\.1 s") as told:
        Slack(receiver.url, timeout_seconds=0.1).send(alert)
    assert "secret-part" not in f"{told.value!r} {told.value.__cause__!r} {Slack(receiver.url, 1)!r}"


def test_a_webhook_that_drips_its_answer_costs_the_declared_time_and_no_more(dripping: int, alert: Alert) -> None:
    begun = time.monotonic()
    with pytest.raises(AlertError, match=r"not delivered within 0\.6 s"):
        Webhook(f"http://127.0.0.1:{dripping}/hook", timeout_seconds=0.6).send(alert)
    assert time.monotonic() - begun < 2


def test_a_mail_server_that_drips_its_greeting_costs_the_declared_time_and_no_more(dripping: int, alert: Alert) -> None:
    begun = time.monotonic()
    with pytest.raises(AlertError, match=r"not delivered within 0\.6 s"):
        Mail("127.0.0.1", dripping, "ml@example.org", ("a@example.org",), 0.6).send(alert)
    assert time.monotonic() - begun < 2


def test_a_delivery_that_took_too_long_leaves_nothing_that_still_sends(dripping: int, alert: Alert) -> None:
    for channel in (
        Webhook(f"http://127.0.0.1:{dripping}/hook", timeout_seconds=0.4),
        Mail("127.0.0.1", dripping, "ml@example.org", ("a@example.org",), 0.4),
    ):
        with pytest.raises(AlertError):
            channel.send(alert)
    end = time.monotonic() + 5
    while any(thread.name == "alert delivery" for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.05)
    assert "alert delivery" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x", "not an address", "http://[", ""])
def test_an_address_where_nobody_is_is_a_failure(alert: Alert, url: str) -> None:
    with pytest.raises(AlertError):
        Webhook(url.format(port=free_port()), timeout_seconds=1).send(alert)


def test_a_mail_server_that_is_not_there_is_a_failure(alert: Alert) -> None:
    port = free_port()
    with pytest.raises(AlertError, match=f"127.0.0.1:{port} did not take it"):
        Mail("127.0.0.1", port, "ml@example.org", ("a@example.org",), 1).send(alert)


def test_a_mail_server_without_encryption_is_not_told_a_password(mail_server: MailServer, alert: Alert) -> None:
    mail = Mail("127.0.0.1", mail_server.port, "ml@example.org", ("a@example.org",), 5, True, "me", "secret")
    with pytest.raises(AlertError, match="STARTTLS"):
        mail.send(alert)
    assert mail_server.messages == []


def test_addresses_and_secrets_come_from_the_environment(
    home: Home, receiver: Receiver, alert: Alert, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = WebhookChannel(kind="webhook", url_env="HOOK_URL", token_env="HOOK_TOKEN")
    monkeypatch.setenv("HOOK_URL", receiver.url)
    with pytest.raises(AlertError, match="HOOK_TOKEN is not set"):
        open_channel(declared, home)
    monkeypatch.setenv("HOOK_TOKEN", "t")
    open_channel(declared, home).send(alert)
    open_channel(SlackChannel(kind="slack", url_env="HOOK_URL"), home).send(alert)
    assert len(receiver.bodies) == 2


def test_a_password_for_a_remote_server_needs_encryption() -> None:
    with pytest.raises(ValidationError, match="in clear"):
        EmailChannel(kind="email", host="mail.example.org", sender="a", to=["b"], password_env="P")


@pytest.mark.parametrize("address", ["ops@", "<", "a@", '"', "a b <", "", "a b", "a@b, c@d", "a@b\nBcc: everybody@b"])
def test_an_address_that_no_message_can_carry_is_refused_where_it_is_declared(address: str) -> None:
    for fields in ({"sender": "ml@example.org", "to": [address]}, {"sender": address, "to": ["team@example.org"]}):
        with pytest.raises(ValidationError, match=r"is no e-mail address; write one address, such as "):
            EmailChannel.model_validate({"kind": "email", **fields})


@pytest.mark.parametrize(
    "address", ["root", "team@example.org", "A. B. <a.b@example.org>", '"Ops, at night" <o@b.org>']
)
def test_an_address_that_arrives_may_be_declared(address: str, mail_server: MailServer, alert: Alert) -> None:
    declared = EmailChannel(kind="email", port=mail_server.port, sender=address, to=[address])
    Mail(declared.host, declared.port, declared.sender, tuple(declared.to), 5).send(alert)
    assert len(mail_server.messages) == 1
