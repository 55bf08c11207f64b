"""`mlplatform run`: a use case in this process, one line per asset as it happens."""

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

from mlplatform.cli.setup import prepare_home
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.spec import Declaration, load_declaration

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["run_use_case"]


def run_use_case(name: str, select: str | None = None, until: str | None = None) -> bool:
    """Materialise the selected assets; True when every step and every blocking check passed.

    Raises:
        SpecError: there is no such use case, or the selection or the date makes no sense.
    """
    home = Home.current()
    uc = load_declaration(name)
    prepare_home(home)
    import dagster as dg

    from mlplatform.definitions import defs
    from mlplatform.stages.jobs import everything_job

    click.echo(f"{name}: loading definitions")
    # Dagster marks much of what this platform stands on as beta; a person at a terminal can do nothing about it.
    warnings.simplefilter("ignore", category=dg.BetaWarning)
    job = defs().resolve_job_def(everything_job(uc))
    run_id, progress = str(uuid.uuid4()), Progress(partial(click.echo, file=sys.stdout))
    log = home.root / "logs" / f"run-{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance, log.open("w") as details:
        instance.add_event_listener(run_id, progress)
        with redirect_stdout(details):
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                run_config=_QUIET,
                tags=_tags(uc, until),
                asset_selection=_selected(job, select),
                raise_on_error=False,
            )
    progress.summary(result.success, run_id)
    return bool(result.success)


# Progress shows what matters; everything is in Dagster's event log, and dbt's own words are in the run's log file.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _tags(uc: Declaration, until: str | None) -> dict[str, str]:
    from mlplatform.stages.jobs import range_tags, use_case_tags

    tags = use_case_tags(uc)
    if until is None:
        return tags
    source = uc.spec.sources[0]
    try:
        last = date.fromisoformat(until)
    except ValueError:
        raise SpecError(f"--until takes a date like {source.end or '2018-09-30'}, not {until!r}") from None
    if last < date.fromisoformat(source.start):
        raise SpecError(f"--until {until} lies before the first day of `{source.name}`, {source.start}")
    return tags | range_tags(date.fromisoformat(source.start), last + timedelta(days=1))


def _selected(job: "dg.JobDefinition", select: str | None) -> "list[dg.AssetKey] | None":
    if select is None:
        return None
    import dagster as dg

    try:
        keys = dg.AssetSelection.from_string(select).resolve(job.asset_layer.asset_graph)
    except dg.DagsterError as error:
        raise SpecError(f"--select {select!r} is no asset selection: {error}") from error
    if not keys:
        raise SpecError(f"--select {select!r} selects no asset of this use case")
    return sorted(keys)


class Progress:
    """Turns Dagster's events into lines a person can follow."""

    def __init__(self, echo: Callable[[str], Any]) -> None:
        self._echo = echo
        self._begun = time.perf_counter()
        self._step_begun: dict[str, float] = {}
        self._lines: list[str] = []
        self._failed: list[str] = []

    def __call__(self, entry: "dg.EventLogEntry") -> None:
        """One event of the run."""
        event = entry.dagster_event
        if event is None:
            if int(entry.level) >= _INFO and entry.step_key:
                self._echo(click.style(f"      {entry.user_message}", dim=True))
            return
        handler: Callable[[Any], None] | None = self._handlers.get(event.event_type_value)
        if handler:
            handler(event)

    @property
    def _handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "STEP_START": self._start,
            "ASSET_MATERIALIZATION": self._materialised,
            "ASSET_CHECK_EVALUATION": self._checked,
            "STEP_FAILURE": self._failure,
        }

    def _start(self, event: Any) -> None:
        self._step_begun[event.step_key] = time.perf_counter()
        self._echo(f"  … {event.step_key.replace('__', '/')}")

    def _materialised(self, event: Any) -> None:
        made = event.step_materialization_data.materialization
        # A run without partitions reports its days one by one; the asset itself follows with its numbers.
        if made.partition is not None and not made.metadata:
            return
        name = made.asset_key.to_user_string()
        if name in self._lines:
            return
        self._lines.append(name)
        rows = made.metadata.get("dagster/row_count")
        shown = f"{rows.value:>12,} rows" if rows else " " * 17
        self._echo(click.style(f"  ✓ {name:<32}", fg="green") + f"{shown} {self._seconds(event.step_key):7.1f} s")

    def _checked(self, event: Any) -> None:
        check = event.asset_check_evaluation_data
        name = f"{check.asset_key.to_user_string()} · {check.check_name}"
        if check.passed:
            self._echo(click.style(f"      ✓ check {name}", dim=True))
            return
        blocks = check.blocking and check.severity.value == "ERROR"
        self._failed += [name] if blocks else []
        self._echo(click.style(f"      ✗ check {name}: {_facts(check.metadata)}", fg="red" if blocks else "yellow"))

    def _failure(self, event: Any) -> None:
        error = event.step_failure_data.error
        while error.cause is not None:
            error = error.cause
        self._failed.append(event.step_key)
        self._echo(click.style(f"  ✗ {event.step_key.replace('__', '/')}: {error.message.strip()}", fg="red"))

    def _seconds(self, step: str) -> float:
        return time.perf_counter() - self._step_begun.get(step, self._begun)

    def summary(self, success: bool, run_id: str) -> None:
        """The last line."""
        took = f"{len(self._lines)} assets in {time.perf_counter() - self._begun:.0f} s, run {run_id[:8]}"
        if success:
            self._echo(click.style(f"done: {took}", fg="green", bold=True))
        else:
            self._echo(
                click.style(f"failed after {took}: {', '.join(self._failed) or 'see above'}", fg="red", bold=True)
            )


_INFO = 20


def _facts(metadata: Mapping[str, Any]) -> str:
    plain = {k: v.value for k, v in metadata.items() if isinstance(v.value, int | float | str)}
    return ", ".join(f"{k} {v}" for k, v in plain.items())
