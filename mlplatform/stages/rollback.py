"""`rollback`: an earlier version becomes the champion again, and retraining rests until somebody has looked.

The asset moves the alias; `bento` and `deployment`, in the same run, make it live, and running services follow. So a
rollback stands in the lineage like a promotion does.
"""

import getpass
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.alias import ROLLBACK, alias_table, champion_lock, newest_move, record_alias, rolled_back
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment, deployment_table
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pause import pause

if TYPE_CHECKING:
    from mlplatform.resources.tracking import Registered
    from mlplatform.stages.alias import Move

__all__ = ["Rollback", "rollback_asset", "rollback_config", "rollback_job"]

_DESCRIPTION = "An earlier version made champion again, with the reason, and retraining paused. Run by its own job."


class Rollback(dg.Config):
    """What to go back to, and why."""

    reason: str
    """For everybody who asks later."""
    to_version: int = 0
    """A registered version; 0: the newest one below the champion that has been live."""
    pause_days: float = 7.0
    """Days of the data's time in which nothing is retrained; 0: no pause."""


def rollback_job(uc: Declaration) -> str:
    """Name of the job that rolls back and deploys."""
    return f"{uc.spec.name}_rollback"


def rollback_config(uc: Declaration, reason: str, to_version: int = 0, pause_days: float = 7.0) -> dict[str, Any]:
    """Run configuration of the job."""
    config = {"reason": reason, "to_version": to_version, "pause_days": pause_days}
    return {"ops": {f"{uc.spec.name}__rollback": {"config": config}}}


def rollback_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Pause retraining, write the move down, then make it; a run after a kill finishes what was written down."""

    @dg.asset(
        **asset_attributes(
            uc, "rollback", _DESCRIPTION, {"mlflow", "duckdb"}, "serving", code_version("stages/rollback.py")
        ),
        deps=[asset_key(uc, "champion")],
    )
    def rollback(
        context: dg.AssetExecutionContext, config: Rollback, lake: LakeResource, tracking: Tracking
    ) -> Iterator[Any]:
        opened = lake.open()
        if not config.reason.strip():
            raise ArtifactError("a rollback needs a reason: somebody will ask")
        with champion_lock(uc):
            before = tracking.champion(uc.spec.name)
            pending, until, reason = _pending(uc, opened, config.to_version), None, config.reason
            if pending is not None:
                version, reason = pending.version, pending.reason
                context.log.info(f"finishing the rollback to v{version} that was written down before: {reason}")
                # It may be somebody else's, who is still at it: what this one asked for must not be lost.
                until = _pause(context, uc, opened, config)
            else:
                version = _target(uc, tracking, before, config.to_version or _earlier(uc, opened, before))
                until = _pause(context, uc, opened, config)
                # Before the alias moves: a rollback that is killed here is known, and only has to be finished.
                _record(uc, opened, version, before, config.reason)
            tracking.make_champion(uc.spec.name, version)
        context.log.info(f"v{version} is champion again instead of v{before.version if before else 0}")
        yield dg.MaterializeResult(
            metadata={
                **table_metadata(describe_table(opened, alias_table(uc))),
                "model_version": version,
                "instead_of": before.version if before else 0,
                "reason": reason,
                "retraining_paused_until": until or "not paused",
            }
        )

    return rollback


def _pending(uc: Declaration, lake: Lake, asked: int) -> "Move | None":
    """A rollback that is written down and not live yet: a run before this one was killed on the way.
    None where there is no such, or another version is asked for."""
    move, live = newest_move(uc, lake), current_deployment(uc)
    if move is None or move.cause != ROLLBACK or (live is not None and int(live.version) == move.version):
        return None
    return move if asked in (0, move.version) else None


def _target(uc: Declaration, tracking: Tracking, champion: "Registered | None", version: int) -> int:
    registered = tracking.version(uc.spec.name, version)
    if registered is None:
        have = ", ".join(map(str, tracking.versions(uc.spec.name))) or "none"
        raise ArtifactError(f"{uc.spec.name} has no version {version}; registered: {have}")
    if "candidate" not in registered.tags:
        # Its card could not be written, and the alias would have moved without a deployment.
        raise ArtifactError(f"v{version} of {uc.spec.name} was registered by hand: no comparison has judged it")
    if champion is not None and champion.version == version:
        raise ArtifactError(f"v{version} is the champion of {uc.spec.name} already; name another version")
    return version


def _earlier(uc: Declaration, lake: Lake, champion: "Registered | None") -> int:
    """The newest version below the champion that has been live and was not taken back."""
    if champion is None:
        raise ArtifactError(f"{uc.spec.name} has no champion: there is nothing to go back from")
    bad = set(rolled_back(uc, lake))
    with lake.read() as con:
        found = con.execute(f"SELECT DISTINCT model_version FROM {deployment_table(uc)}").fetchall()
    below = sorted(int(version) for (version,) in found if int(version) < champion.version)
    earlier = [version for version in below if version not in bad]
    if not earlier:
        why = "has been live"
        if below:
            why = f"may be gone back to by itself: {', '.join(f'v{version}' for version in below)} were taken back"
        raise ArtifactError(
            f"no version below v{champion.version} of {uc.spec.name} {why}; name one (--to), or train another"
        )
    return max(earlier)


def _pause(context: dg.AssetExecutionContext, uc: Declaration, lake: Lake, config: Rollback) -> str | None:
    if not config.pause_days:
        return None
    until = as_of_run(context, uc, lake).to_pydatetime() + timedelta(days=config.pause_days)
    pause(uc, lake, until, f"rolled back: {config.reason}", by=_somebody())
    return until.isoformat()


def _record(uc: Declaration, lake: Lake, version: int, before: "Registered | None", reason: str) -> None:
    number = before.version if before else None
    lake.commit(
        lambda con: record_alias(con, uc, version, number, ROLLBACK, reason), f"{uc.spec.name} back to v{version}"
    )


def _somebody() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        return f"user {os.getuid()}"
