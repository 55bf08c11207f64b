"""Alerts by e-mail over SMTP."""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage

from mlplatform.alerts.alert import Alert
from mlplatform.errors import AlertError

__all__ = ["Mail"]


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
        try:
            with smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds) as server:
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
