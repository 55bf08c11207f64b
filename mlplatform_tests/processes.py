"""Servers that a test starts as processes of its own, on free ports of loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["accepts", "free_port", "running", "s3_server"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether a server answers at a port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: Sequence[str | Path], ready: Callable[[], bool], log: Path, seconds: float = 60, **options: Any
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is `ready` when the block begins and stopped when it ends."""
    with log.open("ab") as written:
        server = subprocess.Popen(list(map(str, command)), stdout=written, stderr=written, **options)
    try:
        until = time.monotonic() + seconds
        while not ready():
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)


@contextmanager
def s3_server(log: Path, free_requests: int | None = None) -> Iterator[int]:
    """The port of a server of the S3 protocol. It looks at no key, or at that of every request behind the first few."""
    port = free_port()
    told = {} if free_requests is None else {"INITIAL_NO_AUTH_ACTION_COUNT": str(free_requests)}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, lambda: accepts(port), log, env={**os.environ, **told}):
        yield port
