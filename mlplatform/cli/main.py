"""The commands, and the one place where an error becomes a message and an exit code."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from mlplatform.errors import PlatformError
from mlplatform.home import Home

__all__ = ["main"]

Command = Callable[..., int | None]
_FILE = click.Path(dir_okay=False, path_type=Path)


def _reported(command: Command) -> Callable[..., None]:
    """Expected errors end with their message, not with a traceback; the code says whether it went well."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except PlatformError as error:
            click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            # Dagster wraps what a declaration is refused with in errors of its own, with a tree of components.
            if (expected := _expected_cause(error)) is None:
                raise
            click.secho(f"{type(expected).__name__}: {expected}", fg="red", err=True)
            sys.exit(1)
        sys.exit(code or 0)

    return run


def _expected_cause(error: BaseException) -> PlatformError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, PlatformError):
        cause = cause.__cause__ or cause.__context__
    return cause


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlplatform")
def main() -> None:
    """Machine-learning use cases, declared in one folder each, from raw events to a watched service."""


@main.command()
@_reported
def setup() -> int:
    """Prepare the home: settings, DuckDB extensions, the lake and dbt's manifest."""
    from mlplatform.cli.setup import prepare_home
    from mlplatform.resources.dbt import manifest

    home = Home.current()
    prepare_home(home)
    manifest(home)
    click.echo(f"home ready: {home.root}")
    return 0


@main.command()
@_reported
def env() -> int:
    """Print the variables that make dagster, dbt, mlflow and bentoml use this home: eval "$(mlplatform env)"."""
    import shlex

    from mlplatform.resources.dbt import dbt_environment

    for name, value in dbt_environment(Home.current()).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0


@main.command()
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
@_reported
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


@main.command()
@click.argument("use_case", required=False)
@click.option("--all", "every", is_flag=True, help="All declared use cases, one after the other.")
@click.option(
    "--select", default=None, help="Dagster asset selection, e.g. 'key:fraud/champion+'; default: everything."
)
@click.option("--until", default=None, metavar="YYYY-MM-DD", help="Last day to ingest; default: all the source has.")
@_reported
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


@main.command()
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
@_reported
def backtest(use_case: str, policies: str, windows: int | None, jobs: int | None, as_json: bool) -> int:
    """Replay history for several policies: retrainings, seconds, metric with and without label delay."""
    from mlplatform.cli.backtest import backtest_use_case

    named = [name.strip() for name in policies.split(",") if name.strip()]
    backtest_use_case(use_case, named, windows, jobs, as_json)
    return 0


@main.command()
@click.argument("model", metavar="USE_CASE[@VERSION]")
@_reported
def reproduce(model: str) -> int:
    """Train a registered model again from what was recorded of it, and compare the two byte for byte."""
    from mlplatform.cli.reproduce import reproduce as rebuild

    return 0 if rebuild(model) else 1


@main.command()
@click.argument("use_case")
@click.option("--port", default=3003, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address needs API keys or tokens.")
@click.option("--workers", default=None, type=click.IntRange(1, 256), help="Processes; default: serving.workers, 1.")
@click.option("--ssl-certfile", default=None, type=_FILE, help="PEM; the service then speaks https only.")
@click.option("--ssl-keyfile", default=None, type=_FILE, help="PEM, without a passphrase.")
@_reported
def serve(
    use_case: str, port: int, host: str, workers: int | None, ssl_certfile: Path | None, ssl_keyfile: Path | None
) -> int:
    """Serve the deployed bento on 127.0.0.1; new deployments are followed without a restart."""
    from mlplatform.cli.serve import serve_use_case
    from mlplatform.serving.launch import Listen

    return serve_use_case(use_case, port, Listen(host, ssl_certfile, ssl_keyfile), workers)


@main.command()
@click.argument("use_case")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A folder that is not there yet: the build context."
)
@click.option("--image", default=None, help="Its name in your registry, for the manifests.")
@click.option(
    "--with",
    "extras",
    multiple=True,
    type=click.Choice(["aws", "score", "traces"]),
    help="aws: AWS Lambda; score: raw events on a mounted lake; traces: OpenTelemetry. May be given again.",
)
@_reported
def image(use_case: str, out: Path, image: str | None, extras: tuple[str, ...]) -> None:
    """Write what the image of the deployed bento is built from: slim, not root, read-only; and its manifests."""
    from mlplatform.cli.image import write_image

    write_image(use_case, out, image, extras)


@main.group()
def keys() -> None:
    """API keys of a use case's services; several are valid at once, so that one can be exchanged for another."""


@keys.command("create")
@click.argument("use_case")
@click.argument("name")
@click.option(
    "--days", default=None, type=click.FloatRange(0, min_open=True), help="Valid for; default: until revoked."
)
@_reported
def keys_create(use_case: str, name: str, days: float | None) -> None:
    """Make a key and show it, this once."""
    from mlplatform.cli.keys import create

    create(use_case, name, days)


@keys.command("list")
@click.argument("use_case")
@_reported
def keys_list(use_case: str) -> None:
    """Names, and until when they are valid; never the keys."""
    from mlplatform.cli.keys import show

    show(use_case)


@keys.command("revoke")
@click.argument("use_case")
@click.argument("name")
@_reported
def keys_revoke(use_case: str, name: str) -> None:
    """Let nobody in with this key any more; running services follow within seconds."""
    from mlplatform.cli.keys import revoke

    revoke(use_case, name)


@main.command()
@click.argument("use_case")
@click.option("--json", "body", required=True, help='A row, {"rows": [...]}, or a key; - reads standard input.')
@click.option("--url", default=None, help="Where the service is; default: looked for on ports 3003 and on.")
@_reported
def predict(use_case: str, body: str, url: str | None) -> int:
    """Ask the running service for a prediction."""
    from mlplatform.cli.serve import ask, find_service
    from mlplatform.spec import load_declaration

    load_declaration(use_case)
    answer = ask(use_case, url or find_service(use_case), sys.stdin.read() if body == "-" else body)
    click.echo(json.dumps(answer.body, indent=2))
    return 0 if answer.ok else 1


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_reported
def status(as_json: bool) -> int:
    """What is in the lake, which model is live, what the last decision was."""
    from mlplatform.cli.status import print_status

    print_status(as_json)
    return 0


@main.command()
@click.argument("use_case")
@click.option("--for", "span", default=None, metavar="7d", help="How long, in the data's time; default: until resumed.")
@click.option("--reason", required=True, help="Stands in the decision, in `status` and in the lake.")
@_reported
def pause(use_case: str, span: str | None, reason: str) -> int:
    """Keep the champion: no retraining until the time is over or `mlplatform resume`."""
    from mlplatform.cli.pause import pause_use_case

    pause_use_case(use_case, span, reason)
    return 0


@main.command()
@click.argument("use_case")
@_reported
def resume(use_case: str) -> int:
    """Let a paused use case retrain again."""
    from mlplatform.cli.pause import resume_use_case

    resume_use_case(use_case)
    return 0


@main.command("accept-skew")
@click.argument("use_case")
@click.option("--reason", required=True, help="Why it is known and harmless, or mended; it stays in the lake.")
@_reported
def accept_skew(use_case: str, reason: str) -> int:
    """Let candidates be promoted again although answers up to now were made of other features than the lake's."""
    from mlplatform.cli.skew import accept_use_case_skew

    accept_use_case_skew(use_case, reason)
    return 0


@main.command()
@click.argument("use_case")
@click.option("--to", default=None, type=click.IntRange(min=1), help="Version; default: the one before the champion.")
@click.option("--reason", required=True, help="Why; it stays in the lineage.")
@click.option("--pause", default="7d", show_default=True, help="No retraining for this long (7d, 12h; 0: no pause).")
@_reported
def rollback(use_case: str, to: int | None, reason: str, pause: str) -> int:
    """Make an earlier version live again; running services follow, and retraining is paused."""
    from mlplatform.cli.rollback import rollback_use_case

    return 0 if rollback_use_case(use_case, to, reason, pause) else 1


@main.command()
@click.argument("use_case")
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True)
@click.option(
    "--out",
    default=None,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder; default: <use case>-v<version>-edge here.",
)
@click.option("--version", type=click.IntRange(min=1), default=None, help="Default: the one that is live.")
@_reported
def export(use_case: str, form: str, out: Path | None, version: int | None) -> None:
    """Write a model as a folder for devices without the platform: ONNX, contract, notes, a runner of one file."""
    from mlplatform.cli.export import export_model

    del form  # there is one
    export_model(use_case, out, version)


@main.command()
@click.argument("use_case")
@click.option("--table", default="", help="schema.table of the lake; default: the features of the use case.")
@click.option("--start", default="", metavar="YYYY-MM-DD", help="First day; default: from the beginning.")
@click.option("--end", default="", metavar="YYYY-MM-DD", help="The day behind the last; default: to the end.")
@_reported
def score(use_case: str, table: str, start: str, end: str) -> int:
    """Score a table, or some days of it, with the live model; any number of rows."""
    from mlplatform.cli.score import score_table

    return 0 if score_table(use_case, table, start, end) else 1


@main.command()
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
@_reported
def replay(use_case: str, start: str, end: str, step: int, speed: float | None) -> int:
    """Live through history: ingest, score by the live service, labels, reports, decisions, retraining."""
    from mlplatform.cli.replay import replay_use_case

    return 0 if replay_use_case(use_case, start, end, step, speed) else 1


@main.command()
@click.argument("use_case")
@click.option("--version", type=click.IntRange(min=1), default=None, help="Default: the newest that is not live.")
@click.option("--shadow", is_flag=True, help="Score what the champion has answered; the default.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=None, help="Answer this share of the entities."
)
@click.option("--compare", is_flag=True, help="Score the journal with it, and report.")
@click.option("--end", is_flag=True, help="Let running services go on without a challenger.")
@_reported
def challenge(use_case: str, version: int | None, shadow: bool, share: float | None, compare: bool, end: bool) -> int:
    """Try another version beside the champion: in running services, as a shadow or on a share, or on the journal."""
    from mlplatform.cli import challenge as commands

    if sum((shadow, share is not None, compare, end)) > 1:
        raise click.UsageError("--shadow, --share, --compare and --end exclude each other")
    if end:
        commands.end_challenge(use_case)
    elif compare:
        return 0 if commands.compare(use_case, version or 0) else 1
    else:
        commands.challenge(use_case, version or 0, share)
    return 0


@main.command()
@_reported
def doctor() -> int:
    """Check the installation, the home, the ports and the lake, and say what to do about what is wrong."""
    from mlplatform.cli.doctor import examine

    return 0 if examine() else 1


@main.command()
@click.option(
    "--port", default=3000, show_default=True, help="Dagster; MLflow, reports and services follow at +1, +2, +3."
)
@_reported
def up(port: int) -> int:
    """Start Dagster (UI, daemon, sensors), MLflow, the reports and every deployed service; Ctrl-C ends them all."""
    from mlplatform.cli.up import run_everything

    return run_everything(port)


@main.command()
@click.argument("use_case", default="fraud")
@_reported
def demo(use_case: str) -> int:
    """Run a whole use case, serve it, score real requests and say where to look."""
    from mlplatform.cli.demo import show

    return show(use_case)


@main.command()
@click.option("--keep-days", default=30, show_default=True, help="Snapshots younger than this stay.")
@_reported
def maintain(keep_days: int) -> int:
    """Compact the lake and expire old snapshots, but none that a registered model was trained on."""
    from mlplatform.cli.maintain import maintain_lake

    maintain_lake(keep_days)
    return 0
