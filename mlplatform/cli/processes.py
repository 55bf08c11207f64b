"""Processes that one command starts and ends together, and the signals that end it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlplatform.errors import PlatformError
from mlplatform.serving.launch import HOST

__all__ = ["Part", "answers", "end_on_signals", "require_free", "start_part", "stop_parts"]

# Dagster gives its webserver and daemon 15 s each; a run that is under way writes its end in that time.
_GRACE_SECONDS = 40.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Part:
    """A running process that leads a process group of its own."""

    name: str
    port: int
    log: Path
    process: "subprocess.Popen[bytes]"


def end_on_signals() -> None:
    """Ctrl-C, SIGTERM and a closed terminal all raise KeyboardInterrupt here.

    SIGINT too is set by hand: a shell starts a background job with SIGINT ignored, and Python then leaves it so.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def require_free(ports: Mapping[int, str]) -> None:
    """Raises PlatformError that names every port of `ports` (port -> who wants it) on which somebody listens."""
    taken = [f"{port} ({who})" for port, who in ports.items() if answers(port)]
    if taken:
        raise PlatformError(
            f"taken on {HOST}: port {', '.join(taken)}; end what listens there (another `mlplatform up`?) "
            "or choose other ports with --port"
        )


def answers(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def start_part(
    name: str, port: int, command: Sequence[str], *, logs: Path, folder: Path, environment: Mapping[str, str]
) -> Part:
    """Start a process in `folder`, away from the terminal's signals; what it prints goes to `<logs>/<name>.log`."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name.lower()}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Part(name, port, log, process)


def stop_parts(parts: Sequence[Part]) -> None:
    """Interrupt all at once, wait for all, then kill what is left of their groups.

    The whole group gets the SIGINT, as from a terminal: a Dagster run that is under way then ends as a failed run;
    told to Dagster alone, the run's process would be killed later and the run would stay "started" for ever.
    """
    for part in parts:
        _signal_group(part, signal.SIGINT)
    end = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < end and any(_alive(part) for part in parts):
        time.sleep(_POLL_SECONDS)
    for part in parts:
        _signal_group(part, signal.SIGKILL)
        part.process.wait()


def _alive(part: Part) -> bool:
    """Whether anything of the part's group is left; its leader may be gone before its children."""
    part.process.poll()
    try:
        os.killpg(part.process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal_group(part: Part, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(part.process.pid, number)
