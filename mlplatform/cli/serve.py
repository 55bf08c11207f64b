"""`mlplatform serve` and `predict`: the live bento as a process, and one request to it."""

import json
import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import httpx

from mlplatform.cli.left_behind import service_pid
from mlplatform.cli.processes import end_on_signals
from mlplatform.cli.setup import use_home
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.launch import HOST, Listen, Served, ServiceError, is_running, start_service, stop_service
from mlplatform.serving.pointer import read_pointer
from mlplatform.serving.workers import WORKERS_VARIABLE
from mlplatform.spec import declared_use_cases, load_declaration

__all__ = ["FIRST_PORT", "Answer", "ask", "find_service", "own_key", "serve_use_case", "start_live"]

FIRST_PORT = 3003
"""Of the services; with `mlplatform up` each use case has one of its own, in alphabetical order."""


@dataclass(frozen=True)
class Answer:
    """What the service said."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether the request was served."""
        return self.status == httpx.codes.OK


def start_live(name: str, port: int, home: Home, listen: Listen | None = None, workers: int | None = None) -> Served:
    """Start the service of what is deployed; it follows later deployments.

    `workers`: instead of those that the environment says, or else the declaration.

    Raises:
        PlatformError: nothing is deployed, the port is taken (it says so if by this service), the service did not
            become ready, or anybody could ask it.
    """
    uc = load_declaration(name)
    pointer_file = home.deployment(name)
    if not pointer_file.exists():
        raise PlatformError(f"nothing is deployed for {name} yet; run `mlplatform run {name}` first")
    bento = read_pointer(pointer_file).bento
    if workers is None and WORKERS_VARIABLE not in os.environ:
        workers = uc.spec.serving.workers
    try:
        return start_service(bento, port, home, pointer_file, listen=listen, workers=workers)
    except ServiceError as error:
        _tell_of_one_left_behind(name, port, (listen or Listen()).url(port), error)
        raise


def _tell_of_one_left_behind(name: str, port: int, url: str, error: ServiceError) -> None:
    """Raises PlatformError if what is in the way is a service of this use case."""
    pid = service_pid(name, port)
    # A service that asks for keys says its name only to who has one; its command line says it, too.
    if pid is None and not _serves(url, name):
        return
    process, end = (f" (pid {pid})", f"`kill {pid}`") if pid else ("", "the process that listens there")
    raise PlatformError(
        f"{name} is served at {url} already{process}, perhaps left behind by a `mlplatform serve` or `up` that was "
        f"killed. It follows deployments by itself: ask it, or end it ({end}), or choose another port with --port"
    ) from error


def serve_use_case(name: str, port: int, listen: Listen | None = None, workers: int | None = None) -> int:
    """Run the service until Ctrl-C or SIGTERM; 1 when it ends by itself."""
    home = Home.current()
    use_home(home)
    end_on_signals()
    served = start_live(name, port, home, listen, workers)
    click.echo(f"{name} answers at {served.url} (log {served.log}); Ctrl-C ends it")
    try:
        while is_running(served.pid):
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    finally:
        stop_service(served.pid)
    click.secho(f"the service ended by itself; see {served.log}", fg="red", err=True)
    return 1


def own_key() -> dict[str, str]:
    """The header that names this person to a service that asks for keys: MLPLATFORM_API_KEY, if it is set."""
    key = os.environ.get("MLPLATFORM_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def find_service(name: str, ports: Sequence[int] | None = None) -> str:
    """The address of the running service of a use case, among the ports that `mlplatform serve` and `up` take.

    Raises:
        PlatformError: none of them is its service.
    """
    ports = ports or range(FIRST_PORT, FIRST_PORT + max(1, len(declared_use_cases())))
    for port in ports:
        url = f"http://{HOST}:{port}"
        if _serves(url, name):
            return url
    raise PlatformError(
        f"no service of {name} answers on port {' or '.join(map(str, ports))} of {HOST}; start it: "
        f"mlplatform serve {name}; or say with --url where it is"
    )


def _serves(url: str, name: str) -> bool:
    try:
        told = httpx.get(f"{url}/readyz", headers=own_key(), timeout=5, trust_env=False).json()
        return bool(told["model"]["use_case"] == name)
    except (httpx.TransportError, ValueError, KeyError, TypeError):
        # Nobody is there, or somebody else.
        return False


def ask(name: str, url: str, body: str) -> Answer:
    """Send one prediction request.

    Raises:
        PlatformError: the body is no JSON, or nobody answers at `url`.
    """
    load_declaration(name)
    if not url.startswith(("http://", "https://")):
        raise PlatformError(f"--url takes an address like http://{HOST}:3003, not {url!r}")
    try:
        json.loads(body)
    except ValueError as error:
        raise PlatformError(f"--json is not JSON: {error}") from error
    headers = {"content-type": "application/json", **own_key()}
    # With SSL_CERT_FILE it trusts an authority of your own.
    tls = ssl.create_default_context()
    try:
        reply = httpx.post(f"{url}/predict", content=body, headers=headers, timeout=30, trust_env=False, verify=tls)
    except httpx.TransportError as error:
        raise PlatformError(f"nobody answers at {url} ({error}); start the service: mlplatform serve {name}") from error
    try:
        return Answer(reply.status_code, reply.json())
    except ValueError as error:
        raise PlatformError(f"what answers at {url} is no service of this platform ({reply.status_code})") from error
