"""Alerts by HTTP POST: as they are (webhook), or as Slack's incoming webhooks want them."""

from dataclasses import dataclass, field
from typing import Any

from mlplatform.alerts.alert import Alert
from mlplatform.alerts.bounded import too_late, within
from mlplatform.errors import AlertError

__all__ = ["Slack", "Webhook"]

# Slack refuses a block of more than 3,000 characters.
_SLACK_CHARACTERS = 2900


@dataclass(frozen=True)
class Webhook:
    """Posts the alert's JSON; any answer of 2xx counts as delivered. Redirects are not followed."""

    url: str = field(repr=False)
    timeout_seconds: float
    token: str | None = field(default=None, repr=False)

    def send(self, alert: Alert) -> None:
        """Post it."""
        _post(self.url, alert.as_json(), self.timeout_seconds, self.token)


@dataclass(frozen=True)
class Slack:
    """Posts `text` and one block; the address itself is the secret."""

    url: str = field(repr=False)
    timeout_seconds: float

    def send(self, alert: Alert) -> None:
        """Post it."""
        title, text = _escaped(alert.title), _escaped(alert.text)[:_SLACK_CHARACTERS]
        block = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*\n{text}"}}
        # `text` is what notifications and clients without blocks show.
        _post(self.url, {"text": title, "blocks": [block]}, self.timeout_seconds, None)


def _escaped(text: str) -> str:
    """The three characters that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(url: str, body: dict[str, Any], timeout_seconds: float, token: str | None) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(timeout=timeout_seconds) as client:

        def send() -> None:
            try:
                # Only the status says anything; a body might never end.
                with client.stream("POST", url, json=body, headers=headers) as reply:
                    status = reply.status_code
            except httpx.TimeoutException:
                raise too_late(timeout_seconds) from None
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                # httpx puts the address into some messages, and the address may be the secret.
                raise AlertError(f"the receiver was not reached ({type(error).__name__})") from None
            if not httpx.codes.is_success(status):
                raise AlertError(f"the receiver answered with status {status}")

        within(timeout_seconds, send, client.close)
