"""`mlplatform run`: a use case in this process, one line per asset as it happens."""

import os
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mlplatform.cli.orphans import end_orphans
from mlplatform.cli.processes import end_on_signals
from mlplatform.cli.progress import Progress
from mlplatform.cli.setup import prepare_home
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.spec import Declaration, declared_use_cases, load_declaration
from mlplatform.watchdog.checks import require_space

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["run_all", "run_job", "run_use_case"]


def run_use_case(name: str, select: str | None = None, until: str | None = None) -> bool:
    """Materialise the selected assets; True when every step and every blocking check passed.

    Raises:
        SpecError: there is no such use case, or the selection or the date makes no sense.
        DiskFullError: too little space is left for it.
    """
    from mlplatform.stages.jobs import everything_job

    uc = load_declaration(name)
    last_day = _last_day(uc, until) if until else None
    return run_job(uc, everything_job(uc), lambda: _tags(uc, last_day, whole=select is None), select)


def run_job(
    uc: Declaration,
    job: str,
    tags: Callable[[], dict[str, str]],
    select: str | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    urgent: bool = False,
) -> bool:
    """Run a job in this process with live progress; True when every step and every blocking check passed.

    `tags` are asked for when the home is ready. `urgent`: also on a disk that is nearly full.

    Raises:
        DiskFullError: too little space is left for it.
    """
    home = Home.current()
    if not urgent:
        require_space(home, uc.spec.watchdog)
    end_on_signals()
    prepare_home(home)
    click.echo(f"{uc.spec.name}: loading definitions")
    from mlplatform.resources.dbt import parse_ahead

    parse_ahead(home)
    # MLflow tells of its database's migrations; set before it is imported.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import dagster as dg

    from mlplatform.definitions import defs

    # Much of what this platform stands on is beta in Dagster; a person at a terminal can do nothing about it.
    for category in (dg.BetaWarning, dg.PreviewWarning):
        warnings.simplefilter("ignore", category=category)
    run_id = str(uuid.uuid4())
    log = home.root / "logs" / f"run-{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # The instance first: on a new home it makes its tables, while dbt is still parsing.
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance, log.open("w") as details:
        defined = defs().resolve_job_def(job)
        selected = _selected(defined, select) if select else None
        end_orphans(instance)
        progress = Progress(partial(click.echo, file=sys.stdout), details)
        instance.add_event_listener(run_id, progress)
        with redirect_stdout(details):
            result = defined.execute_in_process(
                instance=instance,
                run_id=run_id,
                run_config={**_QUIET, **(config or {})},
                tags=tags(),
                asset_selection=selected,
                raise_on_error=False,
            )
    progress.summary(result.success, run_id, str(log))
    return bool(result.success)


def run_all() -> bool:
    """Run every declared use case, also after one that failed; True when all went well."""
    outcomes: dict[str, bool] = {}
    for name in declared_use_cases():
        begun = time.perf_counter()
        outcomes[name] = run_use_case(name)
        click.echo(f"{name}: {time.perf_counter() - begun:.0f} s\n")
    for name, well in outcomes.items():
        click.secho(f"  {'✓' if well else '✗'} {name}", fg="green" if well else "red")
    return all(outcomes.values())


# Progress shows what matters; everything is in Dagster's event log, and dbt's own words are in the run's log file.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _last_day(uc: Declaration, until: str) -> date:
    partitioned = uc.spec.partitioned_sources
    if not partitioned:
        raise SpecError(f"--until {until}: the sources of {uc.spec.name} have no partitions, they are read whole")
    # All partitioned sources have one range.
    source, start = partitioned[0], _first_day(uc)
    try:
        last = date.fromisoformat(until)
    except ValueError:
        raise SpecError(f"--until takes a date like {source.end or '2018-09-30'}, not {until!r}") from None
    if last < start:
        raise SpecError(f"--until {until} lies before the first day of `{source.name}`, {start}")
    if source.end and last > date.fromisoformat(source.end):
        raise SpecError(f"--until {until} lies behind the last day of `{source.name}`, {source.end}")
    if source.partition == "month" and (last + timedelta(days=1)).day != 1 and str(last) != source.end:
        raise SpecError(f"--until {until}: `{source.name}` comes in whole months; name the last day of one")
    return last


def _first_day(uc: Declaration) -> date:
    return date.fromisoformat(uc.spec.partitioned_sources[0].start or "")


def _tags(uc: Declaration, last_day: date | None, whole: bool) -> dict[str, str]:
    from mlplatform.stages.jobs import FINGERPRINT_TAG, range_tags, use_case_tags
    from mlplatform.stages.new_data import sources_fingerprint

    tags = use_case_tags(uc)
    if whole:
        # So that the new-data sensor knows what has been read.
        tags |= {FINGERPRINT_TAG: sources_fingerprint(uc)}
    if last_day is None:
        return tags
    return tags | range_tags(uc, _first_day(uc), last_day + timedelta(days=1))


def _selected(job: "dg.JobDefinition", select: str) -> "list[dg.AssetKey]":
    import dagster as dg

    try:
        keys = dg.AssetSelection.from_string(select).resolve(job.asset_layer.asset_graph)
    except dg.DagsterError as error:
        raise SpecError(f"--select {select!r} is no asset selection: {error}") from error
    if not keys:
        raise SpecError(f"--select {select!r} selects no asset of this use case")
    # The graph also holds what the job only reads, such as a rollback: that has a job, and questions, of its own.
    alone = keys - job.asset_layer.selected_asset_keys
    named = ", ".join(sorted(key.path[-1] for key in alone))
    if alone == keys:
        raise SpecError(f"--select {select!r} selects only what a job of its own runs ({named}); see mlplatform --help")
    if alone:
        click.echo(f"left out of --select {select!r}, since a job of its own runs it: {named}")
    return sorted(keys - alone)
