"""The services of `mlplatform up`: each starts as soon as its use case is deployed, and none keeps the others down."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import click

from mlplatform.cli.serve import start_live
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.launch import Served, stop_service
from mlplatform.spec import load_declaration
from mlplatform.watchdog.checks import Finding
from mlplatform.watchdog.seen import Seen

__all__ = ["Services"]

_AGAIN_SECONDS = 60.0


@dataclass
class Services:
    """Use case -> port, and what runs there. `running` ends them."""

    home: Home
    ports: dict[str, int]
    running: ExitStack
    served: dict[str, Served] = field(default_factory=dict)
    _refused: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When the pointer was written that could not be served, and until when it is left alone."""

    def start_deployed(self) -> dict[str, Served]:
        """Start what is deployed and not started yet, and return it. What does not start is told, and tried again when
        something else is deployed, or after a minute: the port may have been taken, the machine busy."""
        started: dict[str, Served] = {}
        for name, port in self.ports.items():
            pointer = self.home.deployment(name)
            written = pointer.stat().st_mtime if pointer.exists() else None
            refused, until = self._refused.get(name, (None, 0.0))
            if name in self.served or written is None or (refused == written and time.monotonic() < until):
                continue
            try:
                served = start_live(name, port, self.home)
            except PlatformError as error:
                self._refused[name] = (written, time.monotonic() + _AGAIN_SECONDS)
                if refused != written:
                    _tell(name, error)
                continue
            self.running.callback(stop_service, served.pid)
            self.served[name] = started[name] = served
        return started


def _tell(name: str, error: PlatformError) -> None:
    from mlplatform.stages.alerting import wall_clock
    from mlplatform.stages.watchdog import tell_findings

    again = "it is tried again each minute, and when something else is deployed"
    click.secho(f"  {name:<10} does not start; {again}: {error}", fg="red", err=True)
    title = f"the service of {name} does not start: {str(error).partition(chr(10))[0]}"
    try:
        finding = Finding(f"service {name} does not start", title, f"{again}\n{error}")
        tell_findings(load_declaration(name), [finding], Seen(), wall_clock())
    except PlatformError as untold:
        click.secho(f"  {name:<10} no alert of that was raised: {untold}", fg="red", err=True)
