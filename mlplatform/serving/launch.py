"""Start and stop `bentoml serve` for one use case, on loopback, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.journal_key import journal_key

__all__ = [
    "HOST",
    "Served",
    "ServiceError",
    "is_running",
    "serve_command",
    "serve_environment",
    "start_service",
    "stop_service",
]

HOST = "127.0.0.1"
POLL_SECONDS = 0.1
LOG_LINES = 15


class ServiceError(PlatformError):
    """A service could not be started or stopped."""


@dataclass(frozen=True)
class Served:
    """A service that answers. `pid` leads its process group; `log` holds what it prints."""

    pid: int
    url: str
    log: Path


def serve_command(bento: str, port: int) -> list[str]:
    """The command line: exactly what a person would type, with this Python."""
    return [sys.executable, "-m", "bentoml", "serve", bento, "--host", HOST, "--port", str(port)]


def serve_environment(home: Home, pointer: Path | None) -> dict[str, str]:
    """This process's environment, this home, usage reports off, and the pointer to follow, if any.

    Who follows a pointer also journals, into the folder of that use case.
    """
    environment = {**os.environ, **home.environment()}
    if pointer is not None:
        environment["MLPLATFORM_POINTER"] = str(pointer)
        environment["MLPLATFORM_LAKE"] = str(home.root)
        environment["MLPLATFORM_JOURNAL"] = str(home.journal(pointer.stem))
        environment["MLPLATFORM_JOURNAL_KEY"] = journal_key(home)
    return environment


def start_service(
    bento: str, port: int, home: Home, pointer: Path | None = None, timeout_seconds: float = 120
) -> Served:
    """Start and wait until /readyz says 200.

    Raises ServiceError if the port is taken, the process ends (with the end of its log), or time is up.
    """
    _require_free(port)
    log = home.root / "logs" / f"serve-{bento.replace(':', '-')}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            serve_command(bento, port),
            env=serve_environment(home, pointer),
            # Away from a checkout: the bento's own copy of the platform is the one to import.
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C in the terminal reaches the starter, which ends the service in order.
            start_new_session=True,
        )
    url = f"http://{HOST}:{port}"
    try:
        _wait_ready(process, url, log, timeout_seconds)
    except BaseException:
        stop_service(process.pid)
        raise
    # The service outlives this object on purpose; Popen would warn of that when it is collected.
    process.returncode = 0
    return Served(process.pid, url, log)


def stop_service(pid: int, timeout_seconds: float = 20) -> None:
    """Ask the service to end, wait for it, and end what is left of its process group, also if the leader is gone.

    A caller that is in this group itself ends the leader only.
    """
    _signal(pid, signal.SIGTERM)
    end = time.monotonic() + timeout_seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    if pid != os.getpgrp():
        # Workers outlive a leader that was killed; they would keep the port.
        _signal_group(pid)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"port {port} on {HOST} is taken ({error.strerror}); stop what listens there or choose another port"
            ) from error


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, log: Path, timeout_seconds: float) -> None:
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServiceError(f"the service ended with code {process.returncode} before it was ready:\n{_tail(log)}")
        if _ready(url):
            return
        time.sleep(POLL_SECONDS)
    raise ServiceError(f"{url} was not ready after {timeout_seconds:.0f} s; the end of {log}:\n{_tail(log)}")


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _signal_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_running(pid: int) -> bool:
    """Also reaps the process if it is ours, so that it does not count as alive when it is only unburied."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
