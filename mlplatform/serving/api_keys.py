"""API keys: made, kept as hashes in one file per use case, and checked.

A key is 32 random bytes in text, so nobody can guess one from its hash: SHA-256 is enough. A slow hash such as Argon2
is for what people choose, and would cost a hundred times what a prediction does.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlplatform.errors import SecurityError
from mlplatform.serving.private_folder import make_private

__all__ = ["PREFIX", "ApiKey", "KeyTable", "create_key", "load_keys", "read_keys", "revoke_key"]

PREFIX = "mlp_"
"""Tells a key from a token, and lets scanners find one that was committed by mistake."""
FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key. `created`, `expires`: ISO 8601, UTC; null never expires."""

    name: str
    sha256: str
    created: str
    expires: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if a field is none that `create_key` writes."""
        if not _NAME.fullmatch(self.name) or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"the key {self.name[:64]!r} has a name or a hash that is none")
        _seconds(self.created), _seconds(self.expires)

    @property
    def expires_at(self) -> float:
        """Seconds since 1970; infinity if never."""
        return _seconds(self.expires)


class KeyTable:
    """Says whose key one is. Meant for a few dozen keys: every one of them is compared, each time."""

    def __init__(self, keys: Sequence[ApiKey] = ()) -> None:
        self._rows = [(bytes.fromhex(key.sha256), key.name, key.expires_at) for key in keys]

    def owner(self, key: bytes) -> str | None:
        """The name of a key that is valid now, else None. Takes as long for a wrong key as for a right one."""
        digest = hashlib.sha256(key).digest()
        found: str | None = None
        for known, name, expires in self._rows:
            if hmac.compare_digest(known, digest) and time.time() < expires:
                found = name
        return found


def create_key(file: Path, name: str, days: float | None = None) -> str:
    """Add a key under a name that no other has, and return it: this is the only time that it can be seen.

    Raises SecurityError if the name is taken or none, or the file cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise SecurityError(f"{name!r} is no name for a key; take up to 64 letters, digits, '.', '_' or '-'")
    text = PREFIX + secrets.token_urlsafe(32)
    now = time.time()
    expires = None if days is None else _moment(now + days * 86_400)
    made = ApiKey(name, hashlib.sha256(text.encode()).hexdigest(), _moment(now), expires)
    with _alone(file):
        keys = load_keys(file) if file.exists() else []
        if any(key.name == name for key in keys):
            raise SecurityError(f"{file} has a key {name} already; revoke it, or give the new one another name")
        _write(file, [*keys, made])
    return text


def revoke_key(file: Path, name: str) -> None:
    """Remove a key; running services refuse it within seconds. Raises SecurityError if there is none of that name."""
    with _alone(file):
        keys = load_keys(file) if file.exists() else []
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            raise SecurityError(f"{file} has no key {name}; it has {', '.join(key.name for key in keys) or 'none'}")
        _write(file, kept)


def load_keys(file: Path) -> list[ApiKey]:
    """The keys of a file that `create_key` wrote. Raises SecurityError if it cannot be read or is none."""
    try:
        return read_keys(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SecurityError(f"{file}: no file of API keys ({error}); make one with `mlplatform keys create`") from error


def read_keys(content: bytes | str) -> list[ApiKey]:
    """The same from text, as an environment variable has it. Raises ValueError."""
    try:
        document: dict[str, Any] = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}, this version reads {FORMAT}")
        return [ApiKey(**key) for key in document["keys"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not as `mlplatform keys` writes it: {error}") from error


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Two commands at once would each write what they read, and one key would be lost, or come back."""
    make_private(file.parent)
    lock = os.open(file.with_name(f".{file.name}.lock"), os.O_CREAT | os.O_WRONLY, 0o600)
    with os.fdopen(lock, "w") as held:
        # Made for everybody to read by earlier versions.
        os.fchmod(lock, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _write(file: Path, keys: Sequence[ApiKey]) -> None:
    """Whole or not at all, for its owner only: a service may be reading it."""
    made = file.with_name(f".{file.name}.{os.getpid()}")
    document = {"format": FORMAT, "keys": [asdict(key) for key in keys]}
    descriptor = os.open(made, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(json.dumps(document, indent=1) + "\n")
    made.replace(file)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _seconds(moment: str | None) -> float:
    return float("inf") if moment is None else datetime.fromisoformat(moment).timestamp()
