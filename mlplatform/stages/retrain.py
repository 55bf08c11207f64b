"""The retrain sensor: a decision to retrain becomes a deployment, once, also when a run dies on the way."""

from datetime import datetime
from typing import Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.spec import Declaration
from mlplatform.stages.alias import alias_moves, recorded_champion
from mlplatform.stages.attempts import healing_under_way, tried
from mlplatform.stages.champion import champion_table
from mlplatform.stages.clock import AS_OF_TAG, newest_day_end
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.jobs import training_job, unfinished_run, use_case_tags
from mlplatform.stages.naming import asset_key
from mlplatform.stages.pause import Pause, current_pause, pause_table
from mlplatform.stages.replaying import replaying
from mlplatform.stages.retrain_decision import (
    DECISION_ID,
    DECISION_TAG,
    REASON,
    REASON_TAG,
    VERDICT,
    WINDOW,
    WINDOW_TAG,
    newest_decision,
)
from mlplatform.stages.skew_block import OpenSkew, open_skew
from mlplatform.stages.watchdog import no_space

__all__ = ["due_training", "paused", "retrain_sensor", "settled", "wanted_run"]

_DEPLOY_TAG = "mlplatform/deploy_version"


def retrain_sensor(uc: Declaration, jobs: dict[str, Any]) -> dg.SensorDefinition:
    """Train what the newest decision asks for; deploy a champion that a dead run left undeployed."""

    @dg.sensor(
        name=f"{uc.spec.name}_retrain",
        job=jobs[training_job(uc)],
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description='The newest decision says "retrain": train, compare, package and deploy.',
    )
    def retrain(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if replaying(uc):
            return dg.SkipReason(f"a replay moves the time of {uc.spec.name}; it asks for runs itself")
        return wanted_run(context.instance, uc)

    return retrain


def wanted_run(instance: dg.DagsterInstance, uc: Declaration) -> dg.RunRequest | dg.SkipReason:
    """The run that is due now: a deployment that a dead run left out, or the training that the decision asks for."""
    busy = unfinished_run(instance, uc)
    if busy:
        return dg.SkipReason(f"run {busy} of {uc.spec.name} is not finished")
    full = no_space(uc)
    if full:
        return dg.SkipReason(full)
    undeployed = _undeployed_version(uc)
    if undeployed is not None and healing_under_way(uc):
        return dg.SkipReason(f"champion v{undeployed} waits to be deployed: a failure is being healed")
    if undeployed is not None:
        return _deploy(instance, uc, undeployed)
    # While a skew is open nothing is promoted, so a training would come to nothing, and the decision be spent.
    held = paused(uc) or _open_skew(uc)
    if held:
        return dg.SkipReason(str(held))
    decision = newest_decision(uc, Lake.at(Home.current()))
    if decision is None:
        return dg.SkipReason("no decision has been made yet")
    if decision[VERDICT] != "retrain":
        return dg.SkipReason(f"{decision[VERDICT]}: {decision[REASON]}")
    return _train(instance, uc, decision)


def due_training(instance: dg.DagsterInstance, uc: Declaration) -> str | None:
    """The id of a decision to retrain that has not led to a comparison yet and may still be tried."""
    decision = newest_decision(uc, Lake.at(Home.current()))
    if decision is None or decision[VERDICT] != "retrain" or _concluded(uc, decision):
        return None
    if paused(uc) or _open_skew(uc):
        return None
    tag = {DECISION_TAG: str(decision[DECISION_ID])}
    before = tried(instance, uc, tag)
    return None if before is not None and before.over else str(decision[DECISION_ID])


def settled(uc: Declaration) -> bool:
    """Whether the newest decision led to a comparison, with whatever outcome, and what came out of it is deployed."""
    decision = newest_decision(uc, Lake.at(Home.current()))
    return decision is not None and _concluded(uc, decision) and _undeployed_version(uc) is None


def _train(instance: dg.DagsterInstance, uc: Declaration, decision: dict[str, Any]) -> dg.RunRequest | dg.SkipReason:
    identity = str(decision[DECISION_ID])
    if _concluded(uc, decision):
        return dg.SkipReason(f"decision {identity} has led to a comparison as of {decision['as_of']}")
    before = tried(instance, uc, {DECISION_TAG: identity})
    if before is not None:
        return dg.SkipReason(f"the training of decision {identity} failed: {before.text}")
    acting = _alive(instance, identity)
    if acting is not None:
        return dg.SkipReason(f"run {acting} has acted on decision {identity}")
    tags = {
        **use_case_tags(uc),
        DECISION_TAG: identity,
        AS_OF_TAG: decision["as_of"].isoformat(),
        REASON_TAG: str(decision[REASON]),
        WINDOW_TAG: "/".join(edge.isoformat() if edge else "" for edge in (decision[name] for name in WINDOW)),
    }
    return dg.RunRequest(run_key=identity, tags=tags)


def _alive(instance: dg.DagsterInstance, identity: str) -> str | None:
    """The short id of a run that acts, or acted, on a decision; one that died may be tried again."""
    died = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    runs = instance.get_runs(dg.RunsFilter(tags={DECISION_TAG: identity}))
    return next((run.run_id[:8] for run in runs if run.status not in died), None)


def _deploy(instance: dg.DagsterInstance, uc: Declaration, version: int) -> dg.RunRequest | dg.SkipReason:
    # A version may become champion more than once.
    tag = {_DEPLOY_TAG: f"{uc.spec.name} v{version}, move {alias_moves(uc, Lake.at(Home.current()))}"}
    before = tried(instance, uc, tag)
    if before is not None:
        return dg.SkipReason(f"champion v{version} is not deployed: packaging failed: {before.text}")
    return dg.RunRequest(
        run_key=tag[_DEPLOY_TAG],
        tags={**use_case_tags(uc), **tag},
        asset_selection=[asset_key(uc, stage) for stage in ("model_card", "bento", "deployment")],
    )


def paused(uc: Declaration) -> Pause | None:
    """The pause in force at the data's newest moment. A champion that is not deployed yet still is: a rollback that was
    killed between its two halves must come to its end."""
    lake = Lake.at(Home.current())
    if not lake.has_table(pause_table(uc)):
        return None
    at = newest_day_end(uc, lake).to_pydatetime() if lake.has_table(f"{uc.spec.name}.spine") else datetime.min
    return current_pause(uc, lake, at)


def _open_skew(uc: Declaration) -> OpenSkew | None:
    """Before the first champion there is nothing to keep."""
    return open_skew(uc, Lake.at(Home.current())) if current_deployment(uc) else None


def _concluded(uc: Declaration, decision: dict[str, Any]) -> bool:
    """Whether candidates were compared for this decision, with whatever outcome: a refusal is an answer too."""
    lake, table = Lake.at(Home.current()), champion_table(uc)
    with lake.read() as con:
        if not table_exists(con, table):
            return False
        row = con.execute(f"SELECT count(*) FROM {table} WHERE as_of >= ?", [decision["as_of"]]).fetchone()
    return bool(row and row[0])


def _undeployed_version(uc: Declaration) -> int | None:
    """The version that the latest promotion or rollback made champion, if it is not the live one."""
    version, live = recorded_champion(uc, Lake.at(Home.current())), current_deployment(uc)
    return version if version and (live is None or int(live.version) != version) else None
