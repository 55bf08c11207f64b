"""Real receivers on 127.0.0.1, as an alert meets them."""

import json
import select
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from mlplatform.alerts.alert import Alert

NOON = datetime(2024, 1, 1, 12)


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent; it answers with `status`, after `delay` seconds."""

    url: str = ""
    status: int = 200
    delay: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(received.delay)
            received.bodies.append(json.loads(body))
            received.tokens.append(self.headers["Authorization"])
            self.send_response(received.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}/hook/secret-part"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield received
        server.shutdown()


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of a receiver that never stays silent for long and never comes to an end."""
    ended = threading.Event()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            # A line of it is good HTTP after the first, and good SMTP all along.
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" if self._asked() else b"220-wait\r\n")
            with suppress(OSError):
                while not ended.wait(0.1):
                    self.wfile.write(b"220-wait: on\r\n")

        def _asked(self) -> bool:
            # Who speaks HTTP speaks first.
            return bool(select.select([self.connection], [], [], 0.1)[0])

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        ended.set()
        server.shutdown()


@dataclass
class MailServer:
    """An SMTP server that keeps what it is given."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients.append(envelope.rcpt_tos)
        return "250 kept"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    from mlplatform.cli.demo import free_port

    kept = MailServer(free_port())
    controller = Controller(kept, hostname="127.0.0.1", port=kept.port)
    controller.start()
    yield kept
    controller.stop()


@pytest.fixture
def alert() -> Alert:
    return Alert("run 7", "fraud", "run_failed", "a run failed at <features>", "no dbt & no hope\nrun 7", NOON, "7")
