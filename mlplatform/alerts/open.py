"""From a declared channel to one that sends."""

import os

from mlplatform.alerts.alert import Channel
from mlplatform.alerts.http import Slack, Webhook
from mlplatform.alerts.log import Log
from mlplatform.alerts.mail import Mail
from mlplatform.errors import AlertError
from mlplatform.home import Home
from mlplatform.spec import AlertChannel, EmailChannel, LogChannel, SlackChannel

__all__ = ["channel_name", "open_channel"]


def open_channel(declared: AlertChannel, home: Home) -> Channel:
    """The channel, with the addresses and secrets of this process's environment.

    Raises:
        AlertError: a named environment variable is not set.
    """
    if isinstance(declared, LogChannel):
        return Log(home.alert_log)
    if isinstance(declared, SlackChannel):
        return Slack(_variable(declared.url_env), declared.timeout_seconds)
    if isinstance(declared, EmailChannel):
        return _mail(declared)
    token = _variable(declared.token_env) if declared.token_env else None
    return Webhook(_variable(declared.url_env), declared.timeout_seconds, token)


def channel_name(declared: AlertChannel) -> str:
    """Its name in the outbox: the kind and where it goes, never a secret."""
    if isinstance(declared, LogChannel):
        return declared.kind
    if isinstance(declared, EmailChannel):
        return f"{declared.kind} {', '.join(declared.to)}"
    return f"{declared.kind} {declared.url_env}"


def _mail(declared: EmailChannel) -> Mail:
    return Mail(
        declared.host,
        declared.port,
        declared.sender,
        tuple(declared.to),
        declared.timeout_seconds,
        declared.starttls,
        _variable(declared.username_env) if declared.username_env else None,
        _variable(declared.password_env) if declared.password_env else None,
    )


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise AlertError(f"the environment variable {name} is not set; set it where the daemon runs")
    return value
