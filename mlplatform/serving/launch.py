"""Start and stop `bentoml serve` for one use case, on loopback, as a process of its own."""

import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.journal_key import journal_key
from mlplatform.serving.security import KEYS_VARIABLE, require_protected
from mlplatform.serving.workers import WORKERS_VARIABLE

__all__ = [
    "HOST",
    "Listen",
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


@dataclass(frozen=True)
class Listen:
    """Where a service listens, and with which certificate (PEM files); without one it speaks plain HTTP."""

    host: str = HOST
    certificate: Path | None = None
    private_key: Path | None = None

    def __post_init__(self) -> None:
        """Raises ServiceError if the host is no address, one of certificate and key is missing, or a file is."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise ServiceError(f"--host takes an address, such as {HOST}, not {self.host!r}") from None
        if (self.certificate is None) != (self.private_key is None):
            raise ServiceError("TLS needs both --ssl-certfile and --ssl-keyfile")
        for file in (self.certificate, self.private_key):
            if file is not None and not file.is_file():
                raise ServiceError(f"{file}: no such file; TLS needs certificate and key as PEM files")

    def url(self, port: int) -> str:
        """How this machine reaches it."""
        address = ipaddress.ip_address(self.host)
        # The address that stands for all of a machine's is none that one could connect to.
        host = ("::1" if address.version == 6 else HOST) if address.is_unspecified else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{shown}:{port}"

    def arguments(self) -> list[str]:
        """For `bentoml serve`."""
        if self.certificate is None or self.private_key is None:
            return ["--host", self.host]
        # BentoML changes its folder before it opens them.
        files = [str(self.certificate.resolve()), "--ssl-keyfile", str(self.private_key.resolve())]
        return ["--host", self.host, "--ssl-certfile", *files]


def serve_command(bento: str, port: int, listen: Listen | None = None) -> list[str]:
    """The command line: exactly what a person would type, with this Python."""
    return [sys.executable, "-m", "bentoml", "serve", bento, *(listen or Listen()).arguments(), "--port", str(port)]


def serve_environment(home: Home, pointer: Path | None, workers: int | None = None) -> dict[str, str]:
    """This process's environment, this home, usage reports off, how many workers, and the pointer to follow, if any.

    Who follows a pointer also journals, into the folder of that use case, and asks for the keys of that use case, if it
    has any.
    """
    environment = {**os.environ, **home.environment()}
    if workers is not None:
        environment[WORKERS_VARIABLE] = str(workers)
    if pointer is not None:
        environment["MLPLATFORM_POINTER"] = str(pointer)
        environment["MLPLATFORM_LAKE"] = str(home.root)
        environment["MLPLATFORM_JOURNAL"] = str(home.journal(pointer.stem))
        environment["MLPLATFORM_JOURNAL_KEY"] = journal_key(home)
        if home.api_keys(pointer.stem).exists():
            environment.setdefault(KEYS_VARIABLE, str(home.api_keys(pointer.stem)))
    return environment


def start_service(
    bento: str,
    port: int,
    home: Home,
    pointer: Path | None = None,
    timeout_seconds: float = 120,
    listen: Listen | None = None,
    workers: int | None = None,
) -> Served:
    """Start and wait until /readyz says 200. `workers`: processes that answer; None: as the environment says, else 1.

    Raises ServiceError if the port is taken, the process ends (with the end of its log), or time is up; SecurityError
    if anybody could ask a service that knows no keys.
    """
    listen, environment = listen or Listen(), serve_environment(home, pointer, workers)
    require_protected(listen.host, environment)
    _require_free(listen.host, port)
    log = home.root / "logs" / f"serve-{bento.replace(':', '-')}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            serve_command(bento, port, listen),
            env=environment,
            # Away from a checkout: the bento's own copy of the platform is the one to import.
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C in the terminal reaches the starter, which ends the service in order.
            start_new_session=True,
        )
    url = listen.url(port)
    try:
        _wait_ready(process, url, log, timeout_seconds, _context(listen))
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
        # Workers have groups of their own, and end when their leader is gone: see supervised.py.
        _signal_group(pid)


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServiceError(
                f"port {port} on {host} is taken ({error.strerror}); stop what listens there or choose another port"
            ) from error


def _wait_ready(
    process: "subprocess.Popen[bytes]", url: str, log: Path, timeout_seconds: float, tls: ssl.SSLContext
) -> None:
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServiceError(f"the service ended with code {process.returncode} before it was ready:\n{_tail(log)}")
        if _ready(url, tls):
            return
        time.sleep(POLL_SECONDS)
    raise ServiceError(f"{url} was not ready after {timeout_seconds:.0f} s; the end of {log}:\n{_tail(log)}")


def _context(listen: Listen) -> ssl.SSLContext:
    """Trusts the certificate that the service was given, under whatever name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if listen.certificate:
        context.load_verify_locations(listen.certificate)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _ready(url: str, tls: ssl.SSLContext) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False, verify=tls).status_code == httpx.codes.OK
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
