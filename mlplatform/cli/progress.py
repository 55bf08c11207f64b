"""Dagster's events as lines that a person can follow: assets with rows and seconds, checks, trials, what failed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["Progress"]

_INFO = 20
_NAMED_CHECKS_WIDTH = 70
# What libraries say through Dagster's logger; it stays in the event log.
_LIBRARY_TALK = ("A dbt ", "Copying `", "Running dbt ", "Finished dbt ", "Starting a new mlflow run")

_LEFT_OUT = "Dependencies for step "


@dataclass(frozen=True)
class _Failure:
    what: str
    why: str


class Progress:
    """An event listener of one run. `echo` prints a line; whole tracebacks go to `details`."""

    def __init__(self, echo: Callable[[str], Any], details: TextIO) -> None:
        self._echo = echo
        self._details = details
        self._begun = time.perf_counter()
        self._marks: dict[str, float] = {}
        self._made: dict[str, str] = {}
        self._passed: list[str] = []
        self._failures: list[_Failure] = []
        self._left_out: list[str] = []

    def __call__(self, entry: "dg.EventLogEntry") -> None:
        """One event of the run."""
        event = entry.dagster_event
        if event is None:
            self._message(entry)
            return
        handler = self._handlers.get(event.event_type_value)
        if handler:
            handler(event)

    def _message(self, entry: "dg.EventLogEntry") -> None:
        """What a stage says is shown; what libraries say is not, but Dagster tells only here what it leaves out."""
        if not entry.step_key or int(entry.level) < _INFO:
            return
        if entry.user_message.startswith(_LEFT_OUT):
            self._left_out.append(_shown(entry.step_key))
        elif not entry.user_message.startswith(_LIBRARY_TALK):
            self._echo(click.style(f"      {entry.user_message}", dim=True))

    @property
    def _handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "STEP_START": self._start,
            "ASSET_MATERIALIZATION": self._materialised,
            "ASSET_CHECK_EVALUATION": self._checked,
            "STEP_SUCCESS": self._finished,
            "STEP_FAILURE": self._failed,
        }

    def _start(self, event: Any) -> None:
        self._marks[event.step_key] = time.perf_counter()

    def _materialised(self, event: Any) -> None:
        made = event.step_materialization_data.materialization
        # A run without partitions reports its days one by one; the asset itself follows with its numbers.
        if made.partition is not None and not made.metadata:
            return
        name = made.asset_key.to_user_string()
        if name in self._made:
            return
        self._flush_checks()
        self._made[name] = event.step_key
        rows = made.metadata.get("dagster/row_count")
        shown = f"{rows.value:>12,} rows" if rows else " " * 17
        # Several assets of one step (dbt): each took the time since the one before it.
        now = time.perf_counter()
        seconds = now - self._marks.get(event.step_key, self._begun)
        self._marks[event.step_key] = now
        self._echo(click.style(f"  ✓ {name:<30}", fg="green") + f"{shown} {seconds:7.1f} s")

    def _checked(self, event: Any) -> None:
        check = event.asset_check_evaluation_data
        if check.passed:
            self._passed.append(check.check_name)
            return
        self._flush_checks()
        blocks = check.blocking and check.severity.value == "ERROR"
        name, facts = f"check {check.asset_key.to_user_string()} {check.check_name}", _facts(check.metadata)
        self._echo(click.style(f"  ✗ {name}: {facts}", fg="red" if blocks else "yellow"))
        if blocks:
            self._failures.append(_Failure(name, facts))

    def _finished(self, _event: Any) -> None:
        self._flush_checks()

    def _flush_checks(self) -> None:
        """The checks that passed since the last line, as one line: dbt alone has some thirty."""
        if not self._passed:
            return
        count, names = len(self._passed), ", ".join(self._passed)
        counted = f"{count} check{'s' if count > 1 else ''} passed"
        line = f"{counted}: {names}" if len(names) <= _NAMED_CHECKS_WIDTH else counted
        self._echo(click.style(f"      ✓ {line}", dim=True))
        self._passed = []

    def _failed(self, event: Any) -> None:
        self._flush_checks()
        error = event.step_failure_data.error
        self._details.write(f"\n{event.step_key} failed:\n{error.to_string()}\n")
        what, why = _shown(event.step_key), _reason(error)
        # A check that failed says it better than Dagster's step around it.
        if not (self._failures and "blocking asset check" in why):
            self._failures.append(_Failure(what, why))
            self._echo(click.style(f"  ✗ {what}: {why}", fg="red"))

    def summary(self, success: bool, run_id: str, log: str) -> None:
        """The last lines: how it went; after a failure what failed, what did not run, and where to look."""
        self._flush_checks()
        took = f"{len(self._made)} assets in {time.perf_counter() - self._begun:.0f} s"
        if success:
            self._echo(click.style(f"done: {took}, run {run_id[:8]}", fg="green", bold=True))
            return
        self._echo(click.style(f"failed: {took}, run {run_id[:8]}", fg="red", bold=True))
        for failure in self._failures:
            self._echo(f"  {failure.what}: {failure.why.splitlines()[0] if failure.why else 'see the log'}")
        if self._left_out:
            self._echo(f"  not run: {', '.join(self._left_out)}")
        self._echo(f"  look at  {log}\n  or open  /runs/{run_id} in `mlplatform up`")


def _reason(error: Any) -> str:
    """The error that the stage raised: inside Dagster's wrapper, but not the error that it was itself made from."""
    while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return str(error.message).strip().removeprefix("mlplatform.errors.")


def _shown(step: str) -> str:
    return step.replace("__", "/")


def _facts(metadata: Mapping[str, Any]) -> str:
    plain = {k: v.value for k, v in metadata.items() if isinstance(v.value, int | float | str)}
    return ", ".join(f"{k} {_rounded(v)}" for k, v in plain.items())


def _rounded(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
