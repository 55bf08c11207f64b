"""`mlplatform demo`: the whole use case in front of a person: run, serve, three requests, where to look."""

import json
import socket
from datetime import date, timedelta

import click

from mlplatform.cli.exchange import print_exchange
from mlplatform.cli.requests import sample_requests
from mlplatform.cli.run import run_use_case
from mlplatform.cli.serve import ask, start_live
from mlplatform.cli.setup import prepare_home
from mlplatform.cli.status import read_status
from mlplatform.home import Home
from mlplatform.serving.launch import HOST, stop_service
from mlplatform.spec import Declaration, load_declaration

__all__ = ["free_port", "show"]

# Left for the sensors: with `mlplatform up` one sees these days arrive.
_DAYS_LEFT = timedelta(days=28)


def show(name: str) -> int:
    """Run unless something is deployed already, then serve and ask. 1 when the run or a request went wrong."""
    home = Home.current()
    prepare_home(home)
    if home.deployment(name).exists():
        click.echo(f"{name} is deployed already; `mlplatform run {name}` materialises it anew")
    elif not run_use_case(name, until=_until(load_declaration(name))):
        return 1
    uc = load_declaration(name)
    samples = sample_requests(uc, home)
    click.echo(f"\nstarting the {name} service")
    served = start_live(name, free_port(), home)
    try:
        answers = [(sample, ask(name, served.url, json.dumps(sample.row))) for sample in samples]
    finally:
        stop_service(served.pid)
    for sample, answer in answers:
        print_exchange(sample, answer, uc.spec.outcomes)
    _print_summary(name, home)
    return 0 if all(answer.status == sample.expected_status for sample, answer in answers) else 1


def _until(uc: Declaration) -> str | None:
    """Four weeks before the last day that is declared; None where the sources have no last day, or no partitions.

    Of months, the last day of the month before.
    """
    ends = [(source.end, source.partition) for source in uc.spec.partitioned_sources if source.end]
    if not ends:
        return None
    last = date.fromisoformat(ends[0][0]) - _DAYS_LEFT
    return (last.replace(day=1) - timedelta(days=1) if ends[0][1] == "month" else last).isoformat()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _print_summary(name: str, home: Home) -> None:
    status = read_status(load_declaration(name), home)
    click.secho(f"\n{name}", bold=True)
    for lake_table, rows in status.rows.items():
        click.echo(f"  {lake_table:<24} {rows:>10,} rows")
    if status.live:
        click.echo(f"  live                     {status.live['bento']} since {status.live['deployed_at']}")
    if status.decision:
        click.echo(f"  decision                 {status.decision['verdict']}: {status.decision['reason']}")
    click.echo(_NEXT.format(name=name))


_NEXT = """
next (after `source .venv/bin/activate`):
  mlplatform up               Dagster, MLflow, the reports, the service; the sensors ingest what the source has left
  mlplatform run {name}        materialise it again, --select for a part of it
  mlplatform serve {name}      only the service
  mlplatform status           what is there
  eval "$(mlplatform env)"    from then on dagster, dbt, mlflow and bentoml use this home, e.g. bentoml list"""
