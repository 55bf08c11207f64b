"""`mlplatform up`: every process a person works with, on 127.0.0.1, ended together."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

import click

from mlplatform.cli.serve import start_live
from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home
from mlplatform.resources.dbt import dbt_environment, manifest
from mlplatform.serving.launch import HOST, stop_service
from mlplatform.spec import declared_use_cases

__all__ = ["run_everything"]


@dataclass(frozen=True)
class _Part:
    """One process: what it is, where a person opens it, and its command."""

    name: str
    port: int
    command: list[str]


def run_everything(port: int) -> int:
    """Start all parts, wait until one ends or Ctrl-C, then end all; 1 when a part ended by itself."""
    home = Home.current()
    prepare_home(home)
    manifest(home)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as running:
        try:
            processes = {part.name: _start(part, home, running) for part in _parts(home, port)}
            _start_services(home, port + 3, running)
            click.echo("Ctrl-C ends them all")
            while True:
                ended = [name for name, process in processes.items() if process.poll() is not None]
                if ended:
                    click.secho(f"{', '.join(ended)} ended by itself; see {home.root / 'logs'}", fg="red", err=True)
                    return 1
                time.sleep(0.5)
        except KeyboardInterrupt:
            click.echo("ending all")
            return 0


def _parts(home: Home, port: int) -> list[_Part]:
    python = sys.executable
    mlflow = ["-m", "mlflow", "ui", "--host", HOST, "--port", str(port + 1), "--backend-store-uri", home.mlflow_uri]
    return [
        _Part(
            "Dagster",
            port,
            [python, "-m", "dagster", "dev", "-m", "mlplatform.definitions", "-h", HOST, "-p", str(port)],
        ),
        _Part("MLflow", port + 1, [python, *mlflow, "--allowed-hosts", f"{HOST}:{port + 1},localhost:{port + 1}"]),
        _Part("reports", port + 2, [python, "-m", "http.server", str(port + 2), "-b", HOST, "-d", str(home.reports)]),
    ]


def _start(part: _Part, home: Home, running: ExitStack) -> "subprocess.Popen[bytes]":
    log = home.root / "logs" / f"{part.name.lower()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **dbt_environment(home)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            part.command,
            env=environment,
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that Ctrl-C reaches us alone and each part is ended in order.
            start_new_session=True,
        )
    running.callback(stop_service, process.pid)
    click.echo(f"  {part.name:<10} http://{HOST}:{part.port}   log {log}")
    return process


def _start_services(home: Home, port: int, running: ExitStack) -> None:
    for offset, name in enumerate(declared_use_cases()):
        if not home.deployment(name).exists():
            click.echo(f"  {name:<10} nothing deployed yet: mlplatform run {name}")
            continue
        served = start_live(name, port + offset, home)
        running.callback(stop_service, served.pid)
        click.echo(f"  {name:<10} {served.url}   log {served.log}")
