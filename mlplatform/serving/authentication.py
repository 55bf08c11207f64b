"""Who asks: an API key or a bearer token, from the headers of a request."""

import base64
import binascii
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mlplatform.errors import SecurityError
from mlplatform.serving.api_keys import PREFIX, KeyTable, load_keys, read_keys
from mlplatform.serving.follow import FileFollower
from mlplatform.serving.jwks import Tokens

__all__ = ["Authentication", "Following", "KeyFile", "credential"]

logger = logging.getLogger(__name__)

_KEY = PREFIX.encode()


class Following(Protocol):
    """Something that is looked at when a service starts, and again and again."""

    def check(self) -> None:
        """Look once; blocking."""

    async def run(self) -> None:
        """Look until cancelled."""


class KeyFile(FileFollower):
    """The keys of a file, or those written into the setting itself; follows the file."""

    def __init__(self, setting: str) -> None:
        super().__init__(Path(setting if not setting.startswith("{") else "/dev/null"))
        self._inline = setting.startswith("{")
        self.table = KeyTable()
        if self._inline:
            try:
                self.table = KeyTable(read_keys(setting))
            except ValueError as error:
                raise SecurityError(f"the API keys in the environment: {error}") from error

    def check(self) -> None:
        """Read the file if it was replaced."""
        if not self._inline:
            super().check()

    def _changed(self) -> None:
        if not self._file.exists():
            # Closed, not open: whoever configured keys did not mean anybody.
            self.table = KeyTable()
            logger.error("%s is not there: nobody is let in", self._file)
            return
        try:
            self.table = KeyTable(load_keys(self._file))
        except SecurityError as error:
            logger.error("The keys that were known stay: %s", error)  # noqa: TRY400


class Authentication:
    """One of both is enough."""

    def __init__(self, keys: KeyFile | None, tokens: Tokens | None) -> None:
        self._keys = keys
        self._tokens = tokens

    def followers(self) -> list[Following]:
        """What must be checked before the first request, and followed."""
        return [each for each in (self._keys, self._tokens) if each is not None]

    async def client(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The name of the key or the subject of the token that a request brings; None if it brings no good one."""
        sent = credential(headers)
        if not sent:
            return None
        if sent.startswith(_KEY):
            return self._keys.table.owner(sent) if self._keys else None
        return await self._tokens.owner(sent) if self._tokens else None


def credential(headers: Mapping[bytes, bytes]) -> bytes:
    """`Authorization: Bearer`, `X-API-Key`, or the password of `Authorization: Basic`, which a browser asks for.

    Of two: a key of ours, before what a proxy may have put into `Authorization` for itself.
    """
    key = headers.get(b"x-api-key", b"").strip()
    if key.startswith(_KEY):
        return key
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    match scheme.lower():
        case b"bearer":
            return value.strip()
        case b"basic" if not key:
            try:
                return base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return b""
    return key
