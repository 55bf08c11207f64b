"""`mlplatform backtest`: policies replayed over the history in the lake, one line per window as it happens."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mlplatform.cli.processes import end_on_signals
from mlplatform.cli.setup import use_home
from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import load_declaration

if TYPE_CHECKING:
    from mlplatform.ml.backtest import Backtest

__all__ = ["backtest_use_case"]


def backtest_use_case(name: str, policies: Sequence[str], windows: int | None, jobs: int | None, as_json: bool) -> None:
    """Replay, keep the result in the lake and a picture beside the reports, and print what came out.

    Raises:
        LakeError: nothing was ingested yet.
        SpecError: there is no such use case or policy.
        TrainingError: history is too short.
    """
    from mlplatform.stages.policy_backtest import replay_policies

    uc, home = load_declaration(name), Home.current()
    lake = Lake.at(home)
    if not lake.catalog.exists():
        raise LakeError(f"there is no history to replay; run `mlplatform run {name}` first")
    use_home(home)
    end_on_signals()
    # Progress goes beside the result, not into it.
    found = replay_policies(uc, lake, policies, windows, jobs, lambda line: click.echo(line, err=as_json))
    picture = _draw(home, found)
    if as_json:
        chosen = found.recommended()
        told = {
            "recommendation": found.recommendation,
            "recommended": chosen.policy,
            "policies": found.summary(),
            "estimates": asdict(found.estimates) if found.estimates else None,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return
    _print(found)
    click.echo(f"{picture}\nthe course of every policy: the table {name}.policy_backtest")


def _draw(home: Home, found: "Backtest") -> str:
    from mlplatform.ml.backtest_plots import plot_backtest

    path = home.reports / found.use_case / "policy-backtest.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plot_backtest(found))
    return str(path)


def _print(found: "Backtest") -> None:
    rows = found.summary()
    click.echo("\n" + "".join(f"{name:>19}" for name in rows[0]))
    for row in rows:
        click.echo("".join(f"{value:>19}" for value in row.values()))
    click.secho(f"\n{found.recommendation}", bold=True)
    if found.estimates:
        click.echo(str(found.estimates))
