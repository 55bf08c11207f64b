"""`mlplatform status`: per use case, what is in the lake, what is live, what was decided."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from mlplatform.alerts.outbox import undelivered
from mlplatform.cli.setup import use_home
from mlplatform.healing.ledger import read_steps
from mlplatform.healing.problem import problems
from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.serving.journal_losses import read_losses
from mlplatform.spec import Declaration, declared_use_cases, load_declaration

__all__ = ["Status", "print_status", "read_status"]


_TABLES = ("quarantine", "spine", "features", "training_set", "deployment", "prediction_log", "outcomes")


@dataclass(frozen=True)
class Status:
    """One use case, as of now. `live`: what is deployed."""

    use_case: str
    rows: dict[str, int]
    """Table -> rows, for the tables that exist."""
    newest_event: str | None
    live: dict[str, Any] | None
    decision: dict[str, Any] | None
    problems: list[str] = field(default_factory=list)
    """What failed and is not well again, from the healing ledger."""
    paused: str | None = None
    undelivered_alerts: list[str] = field(default_factory=list)
    lost_predictions: str | None = None
    """What services answered and their journal could not keep, as long as `journal.keep_days`."""
    workers: list[dict[str, Any]] = field(default_factory=list)
    """What each running worker says that it serves, and what it refused."""
    skew: str | None = None
    """Why nothing is promoted: answers were made of other features than those that training reads."""


def print_status(as_json: bool) -> None:
    """All use cases, as a table or as JSON."""
    home = Home.current()
    use_home(home)
    found = [read_status(load_declaration(name), home) for name in declared_use_cases()]
    if as_json:
        click.echo(json.dumps({"home": str(home.root), "use_cases": [asdict(s) for s in found]}, indent=2))
        return
    click.echo(f"home {home.root}")
    for status in found:
        _print(status)


def read_status(uc: Declaration, home: Home) -> Status:
    """Reads the lake and the pointer; writes nothing."""
    lake, name = Lake.at(home), uc.spec.name
    live = home.deployment(name)
    if not lake.catalog.exists():
        return Status(name, {}, None, None, None, lost_predictions=_lost(home, name))
    tables = [f"raw_{name}.{s.name}" for s in uc.spec.sources]
    tables += [f"{name}.{t}" for t in _TABLES]
    with lake.read() as con:
        rows = {t: con.execute(f"SELECT count(*) FROM {t}").fetchall()[0][0] for t in tables if table_exists(con, t)}
        newest = None
        if f"{name}.spine" in rows:
            newest = con.execute(f"SELECT max({uc.spec.event_time}) FROM {name}.spine").fetchall()[0][0]
    from mlplatform.stages.retrain_decision import newest_decision

    decision = newest_decision(uc, lake)
    return Status(
        use_case=name,
        rows=rows,
        newest_event=str(newest) if newest else None,
        live=json.loads(live.read_text()) if live.exists() else None,
        decision=_plain(decision) if decision else None,
        problems=[str(problem) for problem in problems(read_steps(lake, name)) if problem.open],
        paused=_paused(uc),
        undelivered_alerts=[f"{title} ({channel}: {error})" for channel, title, error in undelivered(lake, name)],
        lost_predictions=_lost(home, name),
        workers=_workers(live),
        skew=_skew(uc, lake),
    )


def _lost(home: Home, name: str) -> str | None:
    lost = read_losses(home.journal(name))
    return str(lost) if lost.last else None


def _workers(pointer: Path) -> list[dict[str, Any]]:
    from mlplatform.stages.served_check import serving_workers

    return [asdict(worker) for worker in serving_workers(pointer)]


def _skew(uc: Declaration, lake: Lake) -> str | None:
    from mlplatform.stages.skew_block import open_skew

    found = open_skew(uc, lake)
    return str(found) if found else None


def _paused(uc: Declaration) -> str | None:
    from mlplatform.stages.retrain import paused

    held = paused(uc)
    return str(held) if held else None


def _plain(decision: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON has it: times as text, the evidence as the object that it is."""
    plain: dict[str, Any] = {name: str(value) for name, value in decision.items()}
    return plain | {"evidence": json.loads(plain["evidence"])}


def _print(status: Status) -> None:
    click.secho(f"\n{status.use_case}", bold=True)
    for table, rows in status.rows.items():
        click.echo(f"  {table:<32}{rows:>12,} rows")
    if not status.rows:
        click.echo(f"  nothing yet; run `mlplatform run {status.use_case}`")
    if status.newest_event:
        click.echo(f"  newest event                    {status.newest_event:>20}")
    if status.live:
        click.echo(f"  deployed                        {status.live['bento']} since {status.live['deployed_at']}")
        _print_workers(status)
    if status.decision:
        click.echo(f"  decision                        {status.decision['verdict']}: {status.decision['reason']}")
    _print_troubles(status)


def _print_troubles(status: Status) -> None:
    if status.paused:
        click.secho(f"  paused                          {status.paused}", fg="yellow")
    if status.skew:
        click.secho(f"  nothing is promoted             {status.skew}", fg="red")
    for problem in status.problems:
        click.secho(f"  open problem                    {problem}", fg="red")
    if status.lost_predictions:
        click.secho(f"  lost                            {status.lost_predictions}", fg="red")
    for alert in status.undelivered_alerts:
        click.secho(f"  alert not delivered             {alert}", fg="yellow")


def _print_workers(status: Status) -> None:
    """What is served is known of the services alone: the pointer says only what should be."""
    if not status.workers:
        click.echo("  served                          by no running service that says so")
    for bento, count in sorted(Counter(worker["bento"] for worker in status.workers).items()):
        named = bento or "nothing"
        right = bento == (status.live or {}).get("bento")
        click.secho(f"  served                          {named} by {_worker_count(count)}", fg=None if right else "red")
    refusals = {(w["refused"]["bento"], w["refused"]["why"]): w["refused"] for w in status.workers if w["refused"]}
    for (bento, why), refused in sorted(refusals.items()):
        count = sum(bool(w["refused"]) and w["refused"]["why"] == why for w in status.workers)
        named = bento or "the pointer"
        click.secho(
            f"  refused                         {named} by {_worker_count(count)} since {refused['since']}: {why}",
            fg="red",
        )


def _worker_count(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
