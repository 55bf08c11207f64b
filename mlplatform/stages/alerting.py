"""From what happened to what people are told, and the one call that tells them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlplatform.alerts.alert import Alert
from mlplatform.alerts.outbox import Delivery, deliver, raise_alerts
from mlplatform.healing.ledger import Step
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import AlertKind, Declaration
from mlplatform.stages.champion import GATES
from mlplatform.stages.finished_runs import FinishedRun
from mlplatform.stages.naming import asset_key
from mlplatform.stages.served_check import SERVED_CHECK

__all__ = ["decision_alerts", "deliver_alerts", "raise_for", "step_alerts", "wall_clock"]


def wall_clock() -> datetime:
    """Now, UTC without a zone: for alerts, back-offs and ticks. Data is never judged by it."""
    return datetime.now(UTC).replace(tzinfo=None)


def raise_for(uc: Declaration, lake: Lake, alerts: Sequence[Alert]) -> int:
    """Put alerts into the outbox of this use case's channels; returns how many entries are new."""
    return raise_alerts(lake, uc.spec.name, alerts, uc.spec.alerts)


def deliver_alerts(uc: Declaration, lake: Lake) -> Delivery:
    """Send what waits; a channel that fails is noted in the lake and in what is returned."""
    return deliver(lake, Home.current(), uc.spec.name, uc.spec.alerts, wall_clock())


def step_alerts(uc: Declaration, steps: Sequence[Step]) -> Iterator[Alert]:
    """What people are told of steps of the ledger: the first failure, giving up, and the end."""
    for step in steps:
        found = _of_step(step)
        if found:
            kind, title = found
            key = f"{step.problem} {step.number} {step.outcome}"
            yield Alert(key, uc.spec.name, kind, title, _told(uc, step), step.at, step.run_id)


def _of_step(step: Step) -> tuple[AlertKind, str] | None:
    in_green_run = ":" in step.problem
    if step.failed.removeprefix("champion.") in GATES and step.outcome == "alerted":
        return None  # the comparison itself says so, as a decision
    if step.failed == f"deployment.{SERVED_CHECK}":
        return None  # the watchdog says so for as long as it lasts, also of what a service refuses without any run
    if step.number == 1:
        if in_green_run:
            return "check_failed", f"check {step.failed} failed (the run went on)"
        where = "" if step.failed == "run" else f" at {step.failed}"
        return ("check_failed" if "." in step.failed else "run_failed"), f"a run failed{where}"
    if step.outcome == "gave up":
        return "gave_up", f"{step.failed} could not be healed"
    if step.outcome in ("succeeded", "resolved"):
        return "healed", f"{step.failed} is well again ({step.remedy if step.outcome == 'succeeded' else 'by a run'})"
    return None


def _told(uc: Declaration, step: Step) -> str:
    parts = [step.detail, f"run {step.run_id}"]
    if step.outcome == "waiting" and step.due_at:
        due = f"{step.due_at:%Y-%m-%d %H:%M:%S} UTC"
        parts.append(f"next: {step.remedy} (attempt {step.attempt} of {step.of}) at {due}")
    if step.outcome in ("gave up", "alerted"):
        parts.append(f"no remedy is left; correct the cause, then `mlplatform run {uc.spec.name}`")
    return "\n".join(part for part in parts if part)


def decision_alerts(uc: Declaration, run: FinishedRun, at: datetime) -> Iterator[Alert]:
    """What a run decided: to retrain or that it may not, a version that went live, one that was taken back."""
    made = {
        name: _metadata(run, asset_key(uc, name)) for name in ("retrain_decision", "champion", "deployment", "rollback")
    }
    for name, title in (
        ("retrain_decision", _of_decision(made["retrain_decision"])),
        ("deployment", _of_deployment(made["deployment"])),
        ("champion", _of_champion(made["champion"])),
        ("rollback", _of_rollback(made["rollback"])),
    ):
        if title:
            text = str(made[name].get("reason") or made[name].get("verdict") or "")
            yield Alert(f"{run.run.run_id} {name}", uc.spec.name, "decision", title, text, at, run.run.run_id)


def _of_decision(told: dict[str, Any]) -> str | None:
    verdict = told.get("verdict")
    return {"retrain": "it will be trained again", "blocked": "a retraining is blocked"}.get(str(verdict))


def _of_deployment(told: dict[str, Any]) -> str | None:
    return f"{told['live']} is live; before: {told['replaced']}" if told.get("changed") is True else None


def _of_champion(told: dict[str, Any]) -> str | None:
    if not told or told.get("promoted"):
        return None
    return f"the champion stays v{told['model_version']}" if told["model_version"] else "no candidate was promoted"


def _of_rollback(told: dict[str, Any]) -> str | None:
    return f"rolled back: v{told['model_version']} instead of v{told['instead_of']}" if told else None


def _metadata(run: FinishedRun, key: dg.AssetKey) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in run.events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key == key:
            metadata = event.step_materialization_data.materialization.metadata
            found = {name: value.value for name, value in metadata.items()}
    return found
