"""Commands that make, run and replay a use case."""

from typing import Literal

import click

from mlplatform.cli.reported import reported

__all__ = ["backtest", "new", "replay", "reproduce", "run", "score"]


@click.command()
@click.argument("name")
@click.option("--from", "origin", required=True, help="A CSV or Parquet file, postgresql://..., or a database file.")
@click.option("--target", required=True, metavar="COLUMN", help="What is to be predicted.")
@click.option("--table", default=None, help="Of a database: `name` or `schema.name`.")
@click.option(
    "--time", default=None, metavar="COLUMN", help="When a row happened; then the past learns for the future."
)
@click.option("--entity", default=None, metavar="COLUMN", help="Whose row it is: a key, or rows that belong together.")
@click.option(
    "--task", default=None, type=click.Choice(["binary", "multiclass", "regression"]), help="Default: guessed."
)
@click.option("--label-delay-days", default=0, type=click.IntRange(min=0), help="Days until a label is known.")
@click.option("--use", multiple=True, metavar="COLUMN", help="A feature, whatever speaks against it; may be repeated.")
@click.option("--leave-out", multiple=True, metavar="COLUMN", help="No feature; may be repeated.")
@click.option("--look", is_flag=True, help="Only tell; write nothing.")
@reported
def new(
    name: str,
    origin: str,
    target: str,
    table: str | None,
    time: str | None,
    entity: str | None,
    task: Literal["binary", "multiclass", "regression"] | None,
    label_delay_days: int,
    use: tuple[str, ...],
    leave_out: tuple[str, ...],
    look: bool,
) -> int:
    """Look at a table and make a use case of it: declaration, contract, dbt models."""
    from mlplatform.cli.new import Asked, new_use_case
    from mlplatform.scaffold.wishes import Wishes

    wishes = Wishes(
        target=target,
        time=time,
        entity=entity,
        task=task,
        use=use,
        leave_out=leave_out,
        label_delay_days=label_delay_days,
    )
    new_use_case(Asked(name, origin, table, wishes, look))
    return 0


@click.command()
@click.argument("use_case", required=False)
@click.option("--all", "every", is_flag=True, help="All declared use cases, one after the other.")
@click.option(
    "--select", default=None, help="Dagster asset selection, e.g. 'key:fraud/champion+'; default: everything."
)
@click.option("--until", default=None, metavar="YYYY-MM-DD", help="Last day to ingest; default: all the source has.")
@reported
def run(use_case: str | None, every: bool, select: str | None, until: str | None) -> int:
    """Materialise a use case, or --all, in this process, with live progress."""
    from mlplatform.cli.run import run_all, run_use_case

    if every and (use_case or select or until):
        raise click.UsageError("--all runs everything of all use cases; leave the name, --select and --until out")
    if every:
        return 0 if run_all() else 1
    if use_case is None:
        raise click.UsageError("name a use case, or --all")
    return 0 if run_use_case(use_case, select, until) else 1


@click.command()
@click.argument("use_case")
@click.option(
    "--policies",
    default="",
    metavar="NAME,...",
    help="never, weekly, monthly, drift, performance, combined, declared; default: all but monthly.",
)
@click.option("--windows", default=None, type=click.IntRange(min=2), help="Only the latest; default: all there are.")
@click.option("--jobs", default=None, type=click.IntRange(min=1), help="Processes at most; default: one for each core.")
@click.option("--json", "as_json", is_flag=True, help="For programs; progress goes to standard error.")
@reported
def backtest(use_case: str, policies: str, windows: int | None, jobs: int | None, as_json: bool) -> int:
    """Replay history for several policies: retrainings, seconds, metric with and without label delay."""
    from mlplatform.cli.backtest import backtest_use_case

    named = [name.strip() for name in policies.split(",") if name.strip()]
    backtest_use_case(use_case, named, windows, jobs, as_json)
    return 0


@click.command()
@click.argument("use_case")
@click.option("--from", "start", required=True, metavar="YYYY-MM-DD", help="The first day that is replayed.")
@click.option("--to", "end", required=True, metavar="YYYY-MM-DD", help="The day behind the last.")
@click.option("--step", default=7, show_default=True, type=click.IntRange(min=1), help="Days at a time.")
@click.option(
    "--speed",
    default=None,
    type=click.FloatRange(min=0, min_open=True),
    help="At most so many days a second; default: as fast as it goes.",
)
@reported
def replay(use_case: str, start: str, end: str, step: int, speed: float | None) -> int:
    """Live through history: ingest, score by the live service, labels, reports, decisions, retraining."""
    from mlplatform.cli.replay import replay_use_case

    return 0 if replay_use_case(use_case, start, end, step, speed) else 1


@click.command()
@click.argument("use_case")
@click.option("--table", default="", help="schema.table of the lake; default: the features of the use case.")
@click.option("--start", default="", metavar="YYYY-MM-DD", help="First day; default: from the beginning.")
@click.option("--end", default="", metavar="YYYY-MM-DD", help="The day behind the last; default: to the end.")
@reported
def score(use_case: str, table: str, start: str, end: str) -> int:
    """Score a table, or some days of it, with the live model; any number of rows."""
    from mlplatform.cli.score import score_table

    return 0 if score_table(use_case, table, start, end) else 1


@click.command()
@click.argument("model", metavar="USE_CASE[@VERSION]")
@reported
def reproduce(model: str) -> int:
    """Train a registered model again from what was recorded of it, and compare the two byte for byte."""
    from mlplatform.cli.reproduce import reproduce as rebuild

    return 0 if rebuild(model) else 1
