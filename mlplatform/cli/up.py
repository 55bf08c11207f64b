"""`mlplatform up`: every process a person works with, on 127.0.0.1, ended together."""

import os
import sys
import time
from contextlib import ExitStack

import click

from mlplatform.cli.orphans import end_orphans
from mlplatform.cli.processes import Part, answers, end_on_signals, require_free, start_part, stop_parts
from mlplatform.cli.services import Services
from mlplatform.cli.setup import prepare_home
from mlplatform.cli.watch import DaemonWatch, tell_all
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.resources.dbt import dbt_environment, manifest
from mlplatform.serving.launch import HOST, is_running
from mlplatform.spec import declared_use_cases
from mlplatform.watchdog.checks import Finding
from mlplatform.watchdog.seen import Seen

__all__ = ["run_everything"]

_READY_SECONDS = 180.0
_POLL_SECONDS = 0.5


def run_everything(port: int) -> int:
    """Start all parts, wait for Ctrl-C or SIGTERM, then end all; 1 when a part ended by itself.

    Raises:
        PlatformError: a port is taken (nothing was started), or a part did not become ready.
    """
    home = Home.current()
    names = declared_use_cases()
    require_free(_ports(port, names))
    end_on_signals()
    with ExitStack() as running:
        try:
            _prepare(home)
            parts = _start_parts(home, port, running)
            _wait_ready(parts)
            return _watch(home, parts, {name: port + 3 + i for i, name in enumerate(names)}, running)
        except KeyboardInterrupt:
            click.echo("ending all (a run that is under way ends as failed)")
            return 0


def _ports(port: int, names: list[str]) -> dict[int, str]:
    who = ["Dagster", "MLflow", "reports", *(f"service {name}" for name in names)]
    return {port + i: name for i, name in enumerate(who)}


def _prepare(home: Home) -> None:
    import dagster as dg

    prepare_home(home)
    manifest(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        for run_id in end_orphans(instance):
            click.echo(f"run {run_id[:8]} had no process any more; it counts as failed now")


def _start_parts(home: Home, port: int, running: ExitStack) -> list[Part]:
    python = sys.executable
    # The reports' links, which runs write into assets, must lead to the port chosen here.
    environment = {**os.environ, "MLPLATFORM_REPORTS_URL": f"http://{HOST}:{port + 2}", **dbt_environment(home)}
    dagster = [python, "-m", "dagster", "dev", "-w", str(home.dagster / "workspace.yaml"), "-h", HOST, "-p", str(port)]
    # One worker is enough for one person; four of them take 1 GiB.
    mlflow = [python, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port + 1), "--workers", "1"]
    mlflow += ["--backend-store-uri", home.mlflow_uri]
    mlflow += ["--allowed-hosts", f"{HOST}:{port + 1},localhost:{port + 1}"]
    reports = [python, "-m", "http.server", str(port + 2), "-b", HOST, "-d", str(home.reports)]
    commands = {"Dagster": dagster, "MLflow": mlflow, "reports": reports}
    parts: list[Part] = []
    running.callback(stop_parts, parts)
    for i, (name, command) in enumerate(commands.items()):
        part = start_part(name, port + i, command, logs=home.root / "logs", folder=home.root, environment=environment)
        parts.append(part)
    click.echo("starting Dagster, MLflow and the reports")
    return parts


def _wait_ready(parts: list[Part]) -> None:
    end = time.monotonic() + _READY_SECONDS
    waiting = list(parts)
    while waiting:
        for part in [p for p in waiting if answers(p.port)]:
            waiting.remove(part)
            _announce(part.name, f"http://{HOST}:{part.port}", str(part.log))
        for part in waiting:
            if part.process.poll() is not None:
                raise PlatformError(f"{part.name} ended before it was ready; see {part.log}")
        if time.monotonic() > end:
            late = ", ".join(f"{part.name} ({part.log})" for part in waiting)
            raise PlatformError(f"not ready after {_READY_SECONDS:.0f} s: {late}")
        time.sleep(_POLL_SECONDS)


def _watch(home: Home, parts: list[Part], ports: dict[str, int], running: ExitStack) -> int:
    """Start each service as soon as its use case is deployed; 1 when anything ends by itself."""
    for name in ports:
        if not home.deployment(name).exists():
            click.echo(f"  {name:<10} nothing is deployed yet; its service starts when something is")
    watch = DaemonWatch(home, lambda said: click.secho(said, fg="yellow", err=True))
    watch.start()
    running.callback(watch.stop)
    click.echo("Ctrl-C ends them all")
    services = Services(home, ports, running)
    while True:
        for name, served in services.start_deployed().items():
            _announce(name, served.url, str(served.log))
        ended = [str(part.log) for part in parts if part.process.poll() is not None]
        ended += [str(each.log) for each in services.served.values() if not is_running(each.pid)]
        if ended:
            click.secho(f"ended by itself; see {', '.join(ended)}", fg="red", err=True)
            tell_all([Finding("up", "a part of `mlplatform up` ended by itself", ", ".join(ended))], Seen())
            return 1
        time.sleep(_POLL_SECONDS)


def _announce(name: str, url: str, log: str) -> None:
    click.echo(click.style(f"  {name:<10} {url:<24}", bold=True) + click.style(f" log {log}", dim=True))
