"""Messages of an MQTT broker. It keeps them for this client until they are acknowledged, which is after the commit."""

import hashlib
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from threading import Event
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from mlplatform.errors import SourceError, SpecError
from mlplatform.ingest.batch import Batches
from mlplatform.ingest.clock import Clock, utc_now
from mlplatform.ingest.messages import Message, batch_of
from mlplatform.ingest.secret import secret
from mlplatform.spec import StreamSource
from mlplatform.spec.stream import Mqtt

__all__ = ["MqttFeed"]

_CONNECT_SECONDS = 10.0
_FOR_EVER = 0xFFFFFFFF
_MOST_IN_FLIGHT = 65_535


class MqttFeed:
    """What the broker has kept for this client since it was first there.

    A message is acknowledged once its row is committed. A run that dies before that is sent it again, in the old order:
    at least once, and once in the table by its key. MQTT numbers nothing that lasts, so the cursor is only a count.
    """

    def __init__(self, spec: StreamSource, now: Clock = utc_now) -> None:
        assert isinstance(spec.broker, Mqtt), "the other brokers have feeds of their own"
        self.spec, self._broker, self._now = spec, spec.broker, now

    def batches(self, after: str | None) -> Batches:
        """Micro-batches until the broker is quiet, or the run has taken its time."""
        until = time.monotonic() + self.spec.seconds_per_run
        count = int(after or 0)
        with self._connected() as connection:
            while messages := connection.take(self.spec.rows_per_commit, self.spec.quiet_seconds, until):
                count += len(messages)
                read = [Message(message.topic, bytes(message.payload)) for message in messages]
                # MQTT does not say when a message was published.
                yield batch_of(self.spec, read, f"{len(messages)} messages", str(count), self._now())
                connection.acknowledge(messages)

    def pending(self, after: str | None) -> str | None:
        """Names the first message that waits: it is not acknowledged, so it comes again.

        The stored count is part of the name: a device may say the same twice.
        """
        with self._connected(most=1) as connection:
            found = connection.take(1, self.spec.quiet_seconds, time.monotonic() + self.spec.quiet_seconds)
        told = hashlib.sha256(f"{after} {found[0].topic} ".encode() + found[0].payload) if found else None
        return told.hexdigest()[:16] if told else None

    def between(self, start: date, end: date) -> Batches:
        """A broker forgets what was acknowledged."""
        raise SpecError(
            f"source `{self.spec.name}` cannot be asked for the days {start}..{end}: an MQTT broker does not keep what "
            "was acknowledged. Every row of it is in the lake."
        )

    @contextmanager
    def _connected(self, most: int = _MOST_IN_FLIGHT) -> Iterator["_Connection"]:
        broker = self._broker
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_SECONDS
        if broker.user_variable and broker.password_variable:
            name = self.spec.name
            client.username_pw_set(secret(name, broker.user_variable), secret(name, broker.password_variable))
        if broker.tls:
            client.tls_set()
        connection = _Connection(self.spec, broker, client)
        connection.open(most)
        try:
            yield connection
        finally:
            client.disconnect()
            client.loop_stop()


class _Connection:
    """A connected client and the messages that have come."""

    def __init__(self, spec: StreamSource, broker: Mqtt, client: paho.Client) -> None:
        self._spec, self._broker, self._client = spec, broker, client
        self._came: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
        self._answered, self._subscribed = Event(), Event()
        self._refusal: str | None = None
        self._lost: str | None = None
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = lambda client, data, message: self._came.put(message)  # noqa: ARG005

    def open(self, most: int) -> None:
        """Take up the session that the broker keeps, or begin one. Raises SourceError when that fails."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _FOR_EVER
        properties.ReceiveMaximum = most
        try:
            self._client.connect(
                self._broker.host, self._broker.port, clean_start=False, properties=properties, keepalive=60
            )
        except OSError as error:  # refused, unknown host, timed out, no TLS
            raise self._error(f"does not answer ({error}). Start it, or correct `host` and `port`.") from None
        self._client.loop_start()
        # A retained message is sent to a new subscription only, not in every run.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._await(self._answered, "did not answer within 10 seconds. Try again later.")
        self._client.subscribe(self._broker.topic, options=options)
        # Before it confirms, a broker sends what it has kept: of 100,000 messages that takes longer than is waited for.
        self._await(self._subscribed, "did not confirm the subscription. Try again later.", or_messages=True)

    def take(self, most: int, quiet_seconds: float, until: float) -> list[paho.MQTTMessage]:
        """Messages until there are `most`, none has come for `quiet_seconds`, or it is `until`."""
        found: list[paho.MQTTMessage] = []
        while len(found) < most:
            left = min(quiet_seconds, until - time.monotonic())
            try:
                found.append(self._came.get(timeout=max(0.0, left)) if left > 0 else self._came.get_nowait())
            except queue.Empty:
                break
        if not found and (ended := self._refusal or self._lost):
            raise self._error(f"{ended} Every message that is not stored comes again; run it again.")
        return found

    def acknowledge(self, messages: list[paho.MQTTMessage]) -> None:
        """Tell the broker to forget messages that are stored."""
        for message in messages:
            if message.qos:
                self._client.ack(message.mid, message.qos)

    def _await(self, event: Event, otherwise: str, *, or_messages: bool = False) -> None:
        until = time.monotonic() + _CONNECT_SECONDS
        came = False
        while not came and time.monotonic() < until:
            came = event.wait(0.1) or (or_messages and not self._came.empty())
        if self._refusal or not came:
            problem = self._refusal or self._lost or otherwise
            self._client.disconnect()
            self._client.loop_stop()
            raise self._error(problem)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        if reason.is_failure:
            self._refusal = f"refuses this user or password ({reason}). Correct the variables that `broker` names."
        self._answered.set()

    def _on_subscribe(self, client: Any, data: Any, mid: Any, reasons: Any, properties: Any) -> None:  # noqa: ARG002
        if any(reason.is_failure for reason in reasons):
            told = ", ".join(map(str, reasons))
            self._refusal = f"refuses the topic {self._broker.topic} ({told}). Correct `topic`, or this user's rights."
        self._subscribed.set()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:  # noqa: ARG002
        if reason.is_failure or flags.is_disconnect_packet_from_server:
            self._lost = f"ended the connection ({reason})."
        self._answered.set()
        self._subscribed.set()

    def _error(self, what: str) -> SourceError:
        place = f"the broker {self._broker.host}:{self._broker.port}"
        return SourceError(f"source `{self._spec.name}`: {place} {what}")
