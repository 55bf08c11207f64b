"""Bearer tokens: JWTs of an identity provider, verified against its published keys (a JWKS, from a file or an address).

The keys are read at start and every few minutes, never per request; a token that was found good is remembered until it
expires or the keys change.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlplatform.errors import SecurityError

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["ALGORITHMS", "TokenSettings", "Tokens"]

logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What may be allowed: signatures by a private key. HS256 and "none" are not among them, whatever is configured."""
DEFAULT_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_EVERY_SECONDS = 300.0
_COOL_DOWN_SECONDS = 60.0
_FETCH_SECONDS = 5.0
_LARGEST_JWKS = 1_000_000
_LONGEST_TOKEN = 8192
_REMEMBERED = 4096
_LEEWAY_SECONDS = 30


@dataclass(frozen=True)
class TokenSettings:
    """Whose tokens are good. `jwks`: a path, or an address (https, or http on loopback)."""

    jwks: str
    issuer: str
    audience: str
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS

    def __post_init__(self) -> None:
        """Raises SecurityError for what would let anybody in."""
        if not self.issuer or not self.audience:
            raise SecurityError("a JWKS needs the issuer and the audience of its tokens, too; see docs/security.md")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise SecurityError(
                f"token algorithms {', '.join(self.algorithms) or '(none)'}: take some of {', '.join(ALGORITHMS)}"
            )
        address = urlsplit(self.jwks)
        if address.scheme == "http" and address.hostname not in _LOOPBACK:
            raise SecurityError(f"{self.jwks}: keys fetched over http can be exchanged on the way; use https")


class Tokens:
    """Verifies tokens; follows the keys."""

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._keys: Mapping[str | None, PyJWK] = {}
        self._good: dict[bytes, tuple[str, float]] = {}
        self._tried = -_COOL_DOWN_SECONDS
        self._fetching = asyncio.Lock()

    def check(self) -> None:
        """Read the keys. Blocking; what fails is logged, and the keys that were known stay."""
        self._tried = time.monotonic()
        try:
            keys = _usable(self._read())
        except Exception as error:  # an identity provider that is away must not end a service
            logger.error("No keys from %s, those known stay: %s", self._settings.jwks, error)  # noqa: TRY400
            return
        # In this order: a token checked meanwhile by an old key must not stay remembered.
        self._keys = keys
        self._good = {}

    async def run(self) -> None:
        """Read the keys every few minutes until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await asyncio.to_thread(self.check)

    async def owner(self, token: bytes) -> str | None:
        """The subject of a good token, else None."""
        digest = hashlib.sha256(token).digest()
        if remembered := self._good.get(digest):
            return remembered[0] if time.time() < remembered[1] else None
        if len(token) > _LONGEST_TOKEN or (key := await self._key(token)) is None:
            return None
        remembering = self._good
        claims = self._claims(token, key)
        if claims is None:
            return None
        if len(remembering) >= _REMEMBERED:
            remembering.clear()
        subject = str(claims["sub"])[:128]
        remembering[digest] = subject, float(claims["exp"]) + _LEEWAY_SECONDS
        return subject

    def _claims(self, token: bytes, key: "PyJWK") -> dict[str, Any] | None:
        import jwt

        wanted = self._settings
        try:
            # PyJWT also refuses a token whose "alg" is not the one of the key.
            return jwt.decode(
                token,
                key,
                algorithms=list(wanted.algorithms),
                audience=wanted.audience,
                issuer=wanted.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None

    async def _key(self, token: bytes) -> "PyJWK | None":
        """The key that the token names. One that is not known is looked for once a minute at most: an issuer may have
        taken a new one, and anybody can send a made-up name."""
        import jwt

        try:
            name = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        if name not in self._keys and time.monotonic() - self._tried > _COOL_DOWN_SECONDS:
            async with self._fetching:
                if time.monotonic() - self._tried > _COOL_DOWN_SECONDS:
                    await asyncio.to_thread(self.check)
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    def _read(self) -> bytes:
        source = self._settings.jwks
        if not source.startswith(("https://", "http://")):
            return Path(source).read_bytes()
        import httpx

        with httpx.stream("GET", source, timeout=_FETCH_SECONDS, follow_redirects=False) as reply:
            reply.raise_for_status()
            content = b""
            for chunk in reply.iter_bytes():
                content += chunk
                if len(content) > _LARGEST_JWKS:
                    raise SecurityError(f"{source} is larger than {_LARGEST_JWKS} bytes; that is no JWKS")
            return content


def _usable(content: bytes) -> Mapping[str | None, "PyJWK"]:
    """kid -> key, of those that verify signatures of the kinds in ALGORITHMS. Raises if there is none."""
    import jwt

    found: dict[str | None, PyJWK] = {}
    for entry in jwt.PyJWKSet.from_dict(json.loads(content)).keys:
        weak = getattr(entry.key, "key_size", 2048) < 2048 and entry.key_type == "RSA"
        if entry.algorithm_name in ALGORITHMS and entry.public_key_use in (None, "sig") and not weak:
            found[entry.key_id] = entry
    if not found:
        raise SecurityError("none of its keys verifies signatures; it needs RSA keys of 2048 bits, EC or Ed25519 keys")
    return found
