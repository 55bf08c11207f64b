"""Message brokers that a test starts as processes of its own, on loopback."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import paho.mqtt.client as paho
import pytest
from nats.js.api import StreamConfig

from mlplatform_tests.processes import accepts, free_port, running

USER, PASSWORD = "line-4", "pa55-of-the-line"


def program(name: str, package: str) -> str:
    """Where a server's program is, or a skip that says how to install it."""
    found = shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"no {name} is installed (Debian: apt-get install {package})")
    return found


@dataclass(frozen=True)
class MqttBroker:
    """A Mosquitto whose messages outlive it."""

    folder: Path
    port: int

    @contextmanager
    def up(self) -> Iterator[None]:
        conf, users = self.folder / "mosquitto.conf", self.folder / "users"
        if not users.exists():
            made = [program("mosquitto_passwd", "mosquitto"), "-b", "-c", str(users), USER, PASSWORD]
            subprocess.run(made, check=True, capture_output=True)
        lines = [f"listener {self.port} 127.0.0.1", f"password_file {users}", "user root", "max_queued_messages 0"]
        conf.write_text("\n".join([*lines, "persistence true", f"persistence_location {self.folder}/", ""]))
        command = [program("mosquitto", "mosquitto"), "-c", conf]
        with running(command, lambda: accepts(self.port), self.folder / "log"):
            yield

    def publish(self, payloads: Sequence[Any], topic: str = "plant/press/temperature") -> None:
        """Each as JSON, or as it is when it is bytes; the broker has them when this returns."""
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set(USER, PASSWORD)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        sent = [client.publish(topic, p if isinstance(p, bytes) else json.dumps(p), qos=1) for p in payloads]
        for one in sent:
            one.wait_for_publish(30)
        client.disconnect()
        client.loop_stop()


@dataclass(frozen=True)
class NatsServer:
    """A NATS server with JetStream."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @contextmanager
    def up(self) -> Iterator[None]:
        command = [program("nats-server", "nats-server"), "-js", "-sd", self.folder / "js", "-a", "127.0.0.1"]
        command += ["-p", str(self.port), "--user", USER, "--pass", PASSWORD]
        with running(command, lambda: accepts(self.port), self.folder / "log"):
            yield

    def publish(self, payloads: Sequence[Any], subject: str = "plant.press") -> None:
        asyncio.run(self._publish(payloads, subject))

    def make_stream(self, name: str = "PLANT", subjects: Sequence[str] = ("plant.>",), **config: Any) -> None:
        asyncio.run(self._make(StreamConfig(name=name, subjects=list(subjects), **config)))

    def acknowledged(self, name: str = "PLANT", durable: str = "mlplatform") -> int:
        """How far the server says that the consumer is."""
        return asyncio.run(self._acknowledged(name, durable))

    async def _publish(self, payloads: Sequence[Any], subject: str) -> None:
        client = await nats.connect(self.url, user=USER, password=PASSWORD)
        js = client.jetstream()
        for payload in payloads:
            await js.publish(subject, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        await client.close()

    async def _make(self, config: StreamConfig) -> None:
        client = await nats.connect(self.url, user=USER, password=PASSWORD)
        js = client.jetstream()
        if config.name in [stream.config.name for stream in await js.streams_info()]:
            await js.delete_stream(config.name)
        await js.add_stream(config)
        await client.close()

    async def _acknowledged(self, name: str, durable: str) -> int:
        client = await nats.connect(self.url, user=USER, password=PASSWORD)
        info = await client.jetstream().consumer_info(name, durable)
        await client.close()
        return int(info.ack_floor.stream_seq) if info.ack_floor else 0


def mqtt_broker(folder: Path) -> MqttBroker:
    return MqttBroker(folder, free_port())


def nats_server(folder: Path) -> NatsServer:
    return NatsServer(folder, free_port())
