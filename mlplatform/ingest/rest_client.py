"""Asks a JSON API: with its credentials, not too fast, again when it fails, and with errors that repeat no secret."""

import base64
import json
import logging
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

import httpx

from mlplatform.errors import SourceError
from mlplatform.ingest.clock import Clock, utc_now
from mlplatform.ingest.secret import secret
from mlplatform.spec import RestSource
from mlplatform.spec.rest import Basic, Bearer, Key

__all__ = ["NotThereError", "RestAnswer", "RestClient"]

_AGAIN = {408, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 120.0

# At INFO it writes whole addresses, and a key may be among their parameters.
logging.getLogger("httpx").setLevel(logging.WARNING)


class RestAnswer:
    """One answer: its parsed content, its headers' links and the server's clock."""

    def __init__(self, response: httpx.Response, content: Any, now: Clock) -> None:
        self.content = content
        self.next_link: str | None = response.links.get("next", {}).get("url")
        self.clock: datetime = _moment(response.headers.get("Date", "")) or now()
        """The server's present moment, UTC; ours if it does not say."""


class NotThereError(SourceError):
    """An address that the server does not have, such as a page behind the last one."""


class RestClient:
    """One connection to the API of a source."""

    def __init__(self, spec: RestSource, now: Clock = utc_now) -> None:
        self.spec, self._now = spec, now
        headers, self._params, auth = _credentials(spec)
        self._secrets = _secrets(spec)
        # Redirects are not followed: another host would be told the key.
        self._http = httpx.Client(
            headers={**spec.headers, **headers}, auth=auth, timeout=spec.timeout_seconds, follow_redirects=False
        )
        self._next = 0.0

    def __enter__(self) -> "RestClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def ask(self, params: Mapping[str, str], url: str | None = None) -> RestAnswer:
        """The answer of the source's address, or of another one of the same server.

        Raises SourceError when the API does not answer, refuses, or answers with no JSON, after the declared retries.
        """
        for attempt in range(self.spec.retries + 1):
            self._wait_for_turn()
            try:
                response = self._http.get(url or self.spec.url, params=self._all(params, url))
            except httpx.InvalidURL as error:
                raise self._error(f"has no usable address ({error}).") from None
            except httpx.RequestError as error:
                problem, wait = self._error(_transport(error)), None
            else:
                if response.status_code == 200:
                    try:
                        return RestAnswer(response, self._parsed(response.content), self._now)
                    except ValueError as error:
                        problem, wait = self._error(f"answered with no whole JSON ({error}). Try again later."), None
                else:
                    told, wait = self._scrubbed(response.text)[:200], _retry_after(response, self._now)
                    problem = self._refusal(response, told)
                    if response.status_code not in _AGAIN:
                        raise problem
                    if wait is not None and wait > _LONGEST_WAIT:
                        raise self._error(f"says that it is to be asked again in {wait:.0f} seconds. Try again then.")
            if attempt == self.spec.retries:
                raise problem from None
            time.sleep(wait if wait is not None else min(_LONGEST_WAIT, 0.5 * 2**attempt * random.uniform(0.8, 1.2)))  # noqa: S311 - jitter, no secret
        raise AssertionError("the last attempt raises or returns")

    def _parsed(self, content: bytes) -> Any:
        """Raises ValueError where it is no whole JSON, SourceError where it would be none the next time either."""
        try:
            return json.loads(content, parse_float=str)
        except UnicodeDecodeError as error:
            raise self._error(f"answered with a text that is not UTF-8 ({error}). Correct the API.") from None
        except RecursionError:
            raise self._error("answered with JSON that is nested too deeply. Correct the API.") from None

    def _all(self, params: Mapping[str, str], url: str | None) -> httpx.QueryParams:
        given = httpx.URL(url).params if url else httpx.QueryParams(self.spec.params)
        return given.merge({**params, **self._params})

    def _wait_for_turn(self) -> None:
        if self.spec.requests_per_second is None:
            return
        now = time.monotonic()
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + 1 / self.spec.requests_per_second

    def _refusal(self, response: httpx.Response, told: str) -> SourceError:
        error = self._error(_status(response, told))
        return NotThereError(str(error)) if response.status_code == httpx.codes.NOT_FOUND else error

    def _error(self, what: str) -> SourceError:
        return SourceError(f"source `{self.spec.name}`: {self.spec.url} {self._scrubbed(what)}")

    def _scrubbed(self, text: str) -> str:
        """A server may repeat what it was told."""
        for value in self._secrets:
            text = text.replace(value, "***")
        return text


def _credentials(spec: RestSource) -> tuple[dict[str, str], dict[str, str], httpx.BasicAuth | None]:
    """Headers, parameters and httpx's own way to log in."""
    auth = spec.auth
    if isinstance(auth, Bearer):
        return {"Authorization": f"Bearer {secret(spec.name, auth.token_variable)}"}, {}, None
    if isinstance(auth, Basic):
        return {}, {}, httpx.BasicAuth(secret(spec.name, auth.user_variable), secret(spec.name, auth.password_variable))
    if isinstance(auth, Key):
        key = secret(spec.name, auth.key_variable)
        return ({auth.header: key} if auth.header else {}), ({auth.param: key} if auth.param else {}), None
    return {}, {}, None


def _secrets(spec: RestSource) -> list[str]:
    """What no error may repeat, in every way that a server may write it; the longest first."""
    auth, given = spec.auth, set[str]()
    if isinstance(auth, Bearer):
        given = {secret(spec.name, auth.token_variable)}
    if isinstance(auth, Key):
        given = {secret(spec.name, auth.key_variable)}
    if isinstance(auth, Basic):
        password = secret(spec.name, auth.password_variable)
        login = f"{secret(spec.name, auth.user_variable)}:{password}"
        given = {password, base64.b64encode(login.encode()).decode()}
    ways = {
        way for value in given for way in (value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1])
    }
    return sorted(ways, key=len, reverse=True)


def _transport(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "does not answer. Start the server, or correct `url`."
    if isinstance(error, httpx.TimeoutException):
        return "was silent for longer than `timeout_seconds`. Try again later, or allow more."
    if isinstance(error, httpx.DecodingError):
        return (
            "broke off in the middle of an answer, or packs it otherwise than its Content-Encoding says. Try again "
            "later; if that stays so, correct the API."
        )
    return "broke off in the middle of an answer. Try again later."


def _status(response: httpx.Response, told: str) -> str:
    status = response.status_code
    if status in {401, 403}:
        return f"refuses this user or key (status {status}). Correct the variables that `auth` names."
    if status == 404:
        return "is not there (status 404). Correct `url`."
    if status == 429:
        return "was asked too often (status 429). Declare `requests_per_second`."
    if status >= 500:
        return f"failed (status {status}). Try again later."
    if response.is_redirect:
        return f"has moved to {response.headers.get('Location', '?').partition('?')[0]}. Correct `url`."
    return f"refuses the request (status {status}): {told!r}. Correct `params`, `pages` or `days`."


def _retry_after(response: httpx.Response, now: Clock) -> float | None:
    told = response.headers.get("Retry-After", "").strip()
    if told.isdigit():
        return float(told)
    at = _moment(told)
    return None if at is None else max(0.0, (at - now()).total_seconds())


def _moment(text: str) -> datetime | None:
    """The moment of a header, UTC; None for a text that is none."""
    try:
        at: datetime = parsedate_to_datetime(text)
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
