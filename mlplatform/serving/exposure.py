"""Whether anybody from outside could ask a service that knows no keys.

A service without keys answers on loopback only, and only requests that name loopback as their host: a web page that
points its own name at 127.0.0.1 (DNS rebinding) names another.
"""

import ipaddress
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Exposure", "is_loopback", "listening_addresses"]

UNPROTECTED = (
    "this service listens beyond loopback and knows neither API keys nor tokens, so it answers nobody; "
    "see docs/security.md"
)
FOREIGN_HOST = "a service without keys answers only for 127.0.0.1 or localhost, which this request does not name"
_OPEN_FILES = Path("/proc/self/fd")


class Exposure:
    """Looks once at what the process listens on, then at the names of each request."""

    def __init__(self) -> None:
        self._public: bool | None = None
        self._known: dict[bytes, bool] = {}

    def problem(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """Status and sentence, if the request must not be answered."""
        if self._public is None:
            self._public = any(not is_loopback(address) for address in listening_addresses())
        server = scope.get("server")
        # Beside the sockets: where they cannot be listed, the address that was connected to tells.
        if self._public or (server and server[1] is not None and not self._local(server[0].encode())):
            return 503, UNPROTECTED
        return None if self._local(_host(headers.get(b"host", b""))) else (421, FOREIGN_HOST)

    def _local(self, name: bytes) -> bool:
        known = self._known.get(name)
        if known is None:
            known = is_loopback(name.decode("latin-1"))
            # Anybody may send any name.
            if len(self._known) < 100:
                self._known[name] = known
        return known


def is_loopback(host: str) -> bool:
    """Whether an address or name stands for this machine alone."""
    if host.rstrip(".").lower() in ("localhost", ""):
        return bool(host)
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listening_addresses() -> list[str]:
    """Of every TCP socket that this process listens on; empty where open files cannot be listed (not on Linux)."""
    if not _OPEN_FILES.is_dir():
        return []
    found = []
    for entry in _OPEN_FILES.iterdir():
        try:
            if stat.S_ISSOCK(entry.stat().st_mode):
                found += _listens_on(int(entry.name))
        except OSError:
            # Closed meanwhile.
            continue
    return found


def _listens_on(descriptor: int) -> list[str]:
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        tcp = opened.family in (socket.AF_INET, socket.AF_INET6) and opened.type == socket.SOCK_STREAM
        if tcp and opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return [str(opened.getsockname()[0])]
    return []


def _host(header: bytes) -> bytes:
    """Without the port."""
    return header.partition(b"]")[0] + b"]" if header.startswith(b"[") else header.partition(b":")[0]
