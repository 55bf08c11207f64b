"""Commands about the whole installation."""

import click

from mlplatform.cli.reported import reported
from mlplatform.home import Home

__all__ = ["demo", "doctor", "env", "maintain", "setup", "status", "up"]


@click.command()
@reported
def setup() -> int:
    """Prepare the home: settings, DuckDB extensions, the lake and dbt's manifest."""
    from mlplatform.cli.setup import prepare_home
    from mlplatform.resources.dbt import manifest

    home = Home.current()
    prepare_home(home)
    manifest(home)
    click.echo(f"home ready: {home.root}")
    return 0


@click.command()
@reported
def env() -> int:
    """Print the variables that make dagster, dbt, mlflow and bentoml use this home: eval "$(mlplatform env)"."""
    import shlex

    from mlplatform.resources.dbt import dbt_environment

    for name, value in dbt_environment(Home.current()).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@reported
def status(as_json: bool) -> int:
    """What is in the lake, which model is live, what the last decision was."""
    from mlplatform.cli.status import print_status

    print_status(as_json)
    return 0


@click.command()
@reported
def doctor() -> int:
    """Check the installation, the home, the ports and the lake, and say what to do about what is wrong."""
    from mlplatform.cli.doctor import examine

    return 0 if examine() else 1


@click.command()
@click.option(
    "--port", default=3000, show_default=True, help="Dagster; MLflow, reports and services follow at +1, +2, +3."
)
@reported
def up(port: int) -> int:
    """Start Dagster (UI, daemon, sensors), MLflow, the reports and every deployed service; Ctrl-C ends them all."""
    from mlplatform.cli.up import run_everything

    return run_everything(port)


@click.command()
@click.argument("use_case", default="fraud")
@reported
def demo(use_case: str) -> int:
    """Run a whole use case, serve it, score real requests and say where to look."""
    from mlplatform.cli.demo import show

    return show(use_case)


@click.command()
@click.option("--keep-days", default=30, show_default=True, help="Snapshots younger than this stay.")
@reported
def maintain(keep_days: int) -> int:
    """Compact the lake and expire old snapshots, but none that a registered model was trained on."""
    from mlplatform.cli.maintain import maintain_lake

    maintain_lake(keep_days)
    return 0
