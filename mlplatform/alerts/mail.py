"""Alerts by e-mail over SMTP."""

import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from typing import Any

from mlplatform.alerts.alert import Alert
from mlplatform.alerts.bounded import within
from mlplatform.errors import AlertError

__all__ = ["Mail"]

_READY = 220
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True)
class Mail:
    """One plain-text message per alert to all recipients."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    timeout_seconds: float
    starttls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def send(self, alert: Alert) -> None:
        """Hand it to the mail server."""
        server = _Server(self.host, self.timeout_seconds)
        try:
            within(self.timeout_seconds, partial(self._hand_over, server, alert), server.hang_up)
            # It has been taken: whatever becomes of the farewell must not send it again.
            with suppress(AlertError, OSError, smtplib.SMTPException):
                within(_FAREWELL_SECONDS, partial(server.docmd, "QUIT"), server.hang_up)
        finally:
            server.close()

    def _hand_over(self, server: "_Server", alert: Alert) -> None:
        try:
            code, said = server.connect(self.host, self.port)
            if code != _READY:
                raise smtplib.SMTPConnectError(code, said)
            if self.starttls:
                server.starttls(context=ssl.create_default_context())
            if self.username and self.password:
                server.login(self.username, self.password)
            server.send_message(self._message(alert))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise AlertError(f"the mail server {self.host}:{self.port} did not take it: {error}") from None

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        # A line break in a header would be a header of its own.
        message["Subject"] = f"[{alert.use_case}] {' '.join(alert.title.split())}"
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["X-Mlplatform-Key"] = " ".join(alert.key.split())
        message.set_content(f"{alert.text}\n\n{alert.kind}, {alert.as_json()['at']}\n")
        return message


class _Server(smtplib.SMTP):
    """One that can be hung up on before it has said a word; smtplib's own connects, and waits, when it is made."""

    def __init__(self, host: str, timeout_seconds: float) -> None:
        super().__init__(timeout=timeout_seconds)
        # The name that its certificate must have.
        self._host = host
        self._gone = False

    def hang_up(self) -> None:
        """Wake whoever waits for it, and say nothing more to it."""
        self._gone = True
        # A shutdown: closing the socket would leave the other thread waiting.
        with suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)

    def send(self, s: Any) -> None:
        """Every command and the message go through here."""
        if self._gone:
            raise smtplib.SMTPServerDisconnected("hung up")
        super().send(s)
