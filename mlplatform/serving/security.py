"""How a service is protected, as its environment says; see docs/security.md for each variable."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mlplatform.errors import SecurityError
from mlplatform.serving.authentication import Authentication, Following, KeyFile
from mlplatform.serving.exposure import is_loopback
from mlplatform.serving.jwks import DEFAULT_ALGORITHMS, Tokens, TokenSettings

__all__ = [
    "KEYS_VARIABLE",
    "PREFIX",
    "UPSTREAM_VARIABLE",
    "Protection",
    "Security",
    "authenticates",
    "require_protected",
]

PREFIX = "MLPLATFORM_"
KEYS_VARIABLE = "MLPLATFORM_API_KEYS"
"""The file of `mlplatform keys`, or its text."""
JWKS_VARIABLE = "MLPLATFORM_JWKS"
UPSTREAM_VARIABLE = "MLPLATFORM_AUTHENTICATED_UPSTREAM"
"""True: something in front of the service lets in only whom it knows."""

_Number = TypeVar("_Number", int, float)
_WORDS = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Protection:
    """Limits of the process. Counts are per worker; 0 is no limit, but for the time-outs."""

    concurrency: int = 1024
    """Requests that are answered at once."""
    held_bytes: int = 256 * 1024 * 1024
    """Bytes of bodies that have come in part; as many again of answers that their clients have not taken."""
    client_concurrency: int = 0
    """Requests of one client, a key or else an address, at once."""
    client_per_second: float = 0.0
    """Requests of one client, on average; twice as many at once."""
    header_seconds: float = 10.0
    """From the first byte of a request to the end of its headers."""
    body_seconds: float = 10.0
    """From then on to the end of its body."""
    answer_seconds: float = 30.0
    """For the client to take its answer."""
    origins: tuple[str, ...] = ()
    """Whose pages may call the service from a browser (CORS)."""
    open_metrics: bool = False
    """Whether /metrics is answered without a key, too."""
    upstream: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Protection":
        """Raises SecurityError if a variable holds something else than it should."""
        return cls(
            concurrency=_number(environment, "MAX_CONCURRENCY", cls.concurrency),
            held_bytes=_number(environment, "MAX_HELD_BYTES", cls.held_bytes),
            client_concurrency=_number(environment, "MAX_CLIENT_CONCURRENCY", cls.client_concurrency),
            client_per_second=_number(environment, "MAX_CLIENT_RATE", cls.client_per_second),
            header_seconds=_number(environment, "HEADER_SECONDS", cls.header_seconds, least=0.1),
            body_seconds=_number(environment, "BODY_SECONDS", cls.body_seconds, least=0.1),
            answer_seconds=_number(environment, "ANSWER_SECONDS", cls.answer_seconds, least=0.1),
            origins=_list(environment, "CORS_ORIGINS"),
            open_metrics=_switch(environment, "OPEN_METRICS"),
            upstream=_switch(environment, UPSTREAM_VARIABLE.removeprefix(PREFIX)),
        )


class Security:
    """What the guard asks, and what its counters say. Made once per process."""

    def __init__(self, protection: Protection | None = None, authentication: Authentication | None = None) -> None:
        self.protection = protection or Protection()
        self.authentication = authentication
        self.refused: Counter[str] = Counter()

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Security":
        """As the environment says. Raises SecurityError; nothing is read from disk or network yet."""
        keys, jwks = environment.get(KEYS_VARIABLE), environment.get(JWKS_VARIABLE)
        tokens = Tokens(_token_settings(jwks, environment)) if jwks else None
        asked = Authentication(KeyFile(keys) if keys else None, tokens) if keys or jwks else None
        return cls(Protection.of(environment), asked)

    def followers(self) -> list[Following]:
        """What must be checked before the first request, and followed."""
        return self.authentication.followers() if self.authentication else []


def authenticates(environment: Mapping[str, str]) -> bool:
    """Whether a service with this environment may listen beyond loopback."""
    asked = environment.get(KEYS_VARIABLE) or environment.get(JWKS_VARIABLE)
    return bool(asked) or _switch(environment, UPSTREAM_VARIABLE.removeprefix(PREFIX))


def require_protected(host: str, environment: Mapping[str, str]) -> None:
    """Raises SecurityError if a service would listen beyond loopback and know nobody."""
    if not is_loopback(host) and not authenticates(environment):
        raise SecurityError(
            f"--host {host} lets others ask this service, and it knows no keys: make one with `mlplatform keys "
            f"create` and name the file in {KEYS_VARIABLE}, set {JWKS_VARIABLE}, or set {UPSTREAM_VARIABLE}=true if "
            "what is in front of it asks who they are"
        )


def _token_settings(jwks: str, environment: Mapping[str, str]) -> TokenSettings:
    named: dict[str, Any] = {
        "issuer": environment.get(f"{PREFIX}JWT_ISSUER", ""),
        "audience": environment.get(f"{PREFIX}JWT_AUDIENCE", ""),
    }
    return TokenSettings(jwks, **named, algorithms=_list(environment, "JWT_ALGORITHMS") or DEFAULT_ALGORITHMS)


def _number(environment: Mapping[str, str], name: str, usual: _Number, least: float = 0) -> _Number:
    text = environment.get(PREFIX + name)
    if text is None:
        return usual
    try:
        number = type(usual)(text)
    except ValueError:
        number = None
    if number is None or not least <= number < float("inf"):
        raise SecurityError(f"{PREFIX}{name}={text!r}: take a number of at least {least:g}; {usual:g} is usual")
    return number


def _list(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part for part in environment.get(PREFIX + name, "").replace(",", " ").split() if part)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(PREFIX + name, "")
    if (said := _WORDS.get(text.lower())) is None:
        raise SecurityError(f"{PREFIX}{name}={text!r}: take true or false")
    return said
