"""Who is told of failures and decisions, and how. Addresses and secrets are named by environment variables."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.mail_address import mail_address

__all__ = ["AlertChannel", "AlertKind", "EmailChannel", "LogChannel", "SlackChannel", "WebhookChannel"]

AlertKind = Literal["run_failed", "check_failed", "gave_up", "healed", "watchdog", "decision"]
EnvironmentVariable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
MailAddress = Annotated[str, AfterValidator(mail_address)]

_ALL: list[AlertKind] = ["run_failed", "check_failed", "gave_up", "healed", "watchdog", "decision"]


class _AnyChannel(Declared):
    on: list[AlertKind] = _ALL
    """Which alerts it gets. `watchdog`: silent sensors, stale sources, full disks; `decision`: retrain or blocked, a
    new version is live, a candidate was refused."""
    timeout_seconds: Annotated[PositiveFloat, Field(le=30)] = 5
    """A delivery that is not done in this time, from the first byte to the last, has failed."""
    attempts: PositiveInt = 3
    """Tries to deliver one alert, one a tick; after that it stays in the lake as undelivered."""


class LogChannel(_AnyChannel):
    """One line of JSON per alert in `logs/alerts.log` below the home."""

    kind: Literal["log"]
    """A file."""


class WebhookChannel(_AnyChannel):
    """The alert as JSON, by POST."""

    kind: Literal["webhook"]
    """Any service that takes JSON."""
    url_env: EnvironmentVariable
    """The environment variable that holds the address."""
    token_env: EnvironmentVariable | None = None
    """The environment variable that holds a token, sent as `Authorization: Bearer`."""


class SlackChannel(_AnyChannel):
    """Slack's incoming webhook; Mattermost and others take the same."""

    kind: Literal["slack"]
    """A chat."""
    url_env: EnvironmentVariable
    """The environment variable that holds the webhook's address."""


class EmailChannel(_AnyChannel):
    """An e-mail over SMTP."""

    kind: Literal["email"]
    """Mail."""
    host: str = "127.0.0.1"
    """The mail server."""
    port: Annotated[int, Field(gt=0, lt=65536)] = 25
    """Its port."""
    sender: MailAddress
    """From."""
    to: Annotated[list[MailAddress], Field(min_length=1)]
    """Recipients."""
    starttls: bool = False
    """Encrypt before anything is said; the server's certificate is checked."""
    username_env: EnvironmentVariable | None = None
    """The environment variable that holds the user name, if the server wants one."""
    password_env: EnvironmentVariable | None = None
    """The environment variable that holds the password."""

    @model_validator(mode="after")
    def _a_password_is_not_sent_in_clear(self) -> "EmailChannel":
        if self.password_env and not self.starttls and self.host not in ("127.0.0.1", "localhost"):
            raise ValueError(f"a password would go to {self.host} in clear; set `starttls: true`")
        return self


AlertChannel = Annotated[
    LogChannel | WebhookChannel | SlackChannel | EmailChannel, Field(discriminator="kind"), ByKind()
]
