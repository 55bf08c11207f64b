"""Commands about which version answers, and which may follow it."""

from pathlib import Path

import click

from mlplatform.cli.reported import reported

__all__ = ["accept_skew", "challenge", "export", "pause", "resume", "rollback"]


@click.command()
@click.argument("use_case")
@click.option("--version", type=click.IntRange(min=1), default=None, help="Default: the newest that is not live.")
@click.option("--shadow", is_flag=True, help="Score what the champion has answered; the default.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=None, help="Answer this share of the entities."
)
@click.option("--compare", is_flag=True, help="Score the journal with it, and report.")
@click.option("--end", is_flag=True, help="Let running services go on without a challenger.")
@reported
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


@click.command()
@click.argument("use_case")
@click.option("--to", default=None, type=click.IntRange(min=1), help="Version; default: the one before the champion.")
@click.option("--reason", required=True, help="Why; it stays in the lineage.")
@click.option("--pause", default="7d", show_default=True, help="No retraining for this long (7d, 12h; 0: no pause).")
@reported
def rollback(use_case: str, to: int | None, reason: str, pause: str) -> int:
    """Make an earlier version live again; running services follow, and retraining is paused."""
    from mlplatform.cli.rollback import rollback_use_case

    return 0 if rollback_use_case(use_case, to, reason, pause) else 1


@click.command()
@click.argument("use_case")
@click.option("--for", "span", default=None, metavar="7d", help="How long, in the data's time; default: until resumed.")
@click.option("--reason", required=True, help="Stands in the decision, in `status` and in the lake.")
@reported
def pause(use_case: str, span: str | None, reason: str) -> int:
    """Keep the champion: no retraining until the time is over or `mlplatform resume`."""
    from mlplatform.cli.pause import pause_use_case

    pause_use_case(use_case, span, reason)
    return 0


@click.command()
@click.argument("use_case")
@reported
def resume(use_case: str) -> int:
    """Let a paused use case retrain again."""
    from mlplatform.cli.pause import resume_use_case

    resume_use_case(use_case)
    return 0


@click.command("accept-skew")
@click.argument("use_case")
@click.option("--reason", required=True, help="Why it is known and harmless, or mended; it stays in the lake.")
@reported
def accept_skew(use_case: str, reason: str) -> int:
    """Let candidates be promoted again although answers up to now were made of other features than the lake's."""
    from mlplatform.cli.skew import accept_use_case_skew

    accept_use_case_skew(use_case, reason)
    return 0


@click.command()
@click.argument("use_case")
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True)
@click.option(
    "--out",
    default=None,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder; default: <use case>-v<version>-edge here.",
)
@click.option("--version", type=click.IntRange(min=1), default=None, help="Default: the one that is live.")
@reported
def export(use_case: str, form: str, out: Path | None, version: int | None) -> None:
    """Write a model as a folder for devices without the platform: ONNX, contract, notes, a runner of one file."""
    from mlplatform.cli.export import export_model

    del form  # there is one
    export_model(use_case, out, version)
