"""`succession`: a fresh champion beside the version before it, on what was served since; a sensor takes it back."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.predictions import served_features
from mlplatform.lake.tables import columns_of, describe_table, merge_rows, widen
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.alias import promoted_over
from mlplatform.stages.attempts import tried
from mlplatform.stages.champion import champion_table
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.jobs import ROLLBACK_TAG, unfinished_run, use_case_tags
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.outcomes import key_hash
from mlplatform.stages.performance_report import promised
from mlplatform.stages.replaying import replaying
from mlplatform.stages.rollback import rollback_config, rollback_job

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from mlplatform.ml.succession import Look, Succession

__all__ = ["succession_asset", "succession_sensor", "succession_table"]

_DESCRIPTION = "The fresh champion beside its predecessor on the same served examples: keep, wait, or roll back."


def succession_table(uc: Declaration) -> str:
    """The lake table with one row per moment and champion that was fresh then."""
    return f"{uc.spec.name}.succession"


def succession_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Compare as long as the champion is fresh; afterwards, or without a predecessor, say so."""
    version = code_version("ml/succession.py", "ml/challenge.py", "stages/succession.py", declared=uc.spec.rollback)

    @dg.asset(
        **asset_attributes(uc, "succession", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "outcomes"), asset_key(uc, "deployment")],
    )
    def succession(context: dg.AssetExecutionContext, lake: LakeResource, tracking: Tracking) -> Iterator[Any]:
        opened = lake.open()
        moment = as_of_run(context, uc, opened)
        found = _Fresh.find(uc, opened, moment)
        if isinstance(found, str):
            context.log.info(found)
            yield dg.MaterializeResult(metadata={"verdict": "keep", "reason": found})
            return
        told = found.compare(uc, opened, tracking, moment)
        row = _row(found, told, moment)
        done = opened.commit(lambda con: _write(con, succession_table(uc), row), f"succession {moment}")
        context.log.info(f"v{found.version}: {told.verdict}: {told.reason}")
        table = table_metadata(describe_table(opened, succession_table(uc), done.snapshot))
        yield dg.MaterializeResult(metadata={**table, **_metadata(found, told)})

    return succession


def _write(con: "duckdb.DuckDBPyConnection", table: str, row: "pd.DataFrame") -> None:
    widen(con, table, row)
    merge_rows(con, table, row, ["as_of", "model_version"])


class _Fresh:
    """A champion that was promoted lately, and whom it replaced."""

    def __init__(self, version: int, predecessor: int, since: "pd.Timestamp") -> None:
        self.version, self.predecessor, self.since = version, predecessor, since

    @classmethod
    def find(cls, uc: Declaration, lake: Lake, as_of: "pd.Timestamp") -> "_Fresh | str":
        """The live version, if there is something to compare; else why not."""
        live = current_deployment(uc)
        if live is None:
            return "nothing is deployed"
        version = int(live.version)
        predecessor = promoted_over(uc, lake, version)
        if predecessor is None:
            return f"v{version} replaced nobody that it could be compared with"
        promoted = _promoted_at(uc, lake, version)
        if promoted is None or as_of > promoted + timedelta(days=uc.spec.rollback.fresh_days):
            return f"v{version} is no longer fresh: it was trained as of {promoted}"
        if not lake.has_table(f"{uc.spec.name}.prediction_log"):
            return f"v{version} has served nothing yet"
        return cls(version, predecessor, promoted)

    def compare(self, uc: Declaration, lake: Lake, tracking: Tracking, as_of: "pd.Timestamp") -> "Succession":
        from mlplatform.ml.model import Model
        from mlplatform.ml.succession import MOST_ROWS, compare_successor

        until = as_of.to_pydatetime()
        rows = served_features(
            lake, uc.spec, self.version, self.since.to_pydatetime(), until, key_hash(uc), most=MOST_ROWS
        )

        def answers(version: int) -> Any:
            model = Model.load(tracking.model_folder(_run(uc, tracking, version)))
            return model.predict(model.matrix(rows))

        return compare_successor(
            rows,
            answers(self.version),
            answers(self.predecessor),
            uc.spec.training,
            uc.spec.performance,
            uc.spec.rollback,
            event_time=uc.spec.event_time,
            as_of=as_of,
            look=self._look(uc, lake, as_of),
            expected=promised(uc, lake).get(self.version, float("nan")),
        )

    def _look(self, uc: Declaration, lake: Lake, as_of: "pd.Timestamp") -> "Look":
        """Where in its fresh days this comparison stands, and where the last one that tested something stood."""
        from mlplatform.ml.succession import Look

        before = _tested_before(uc, lake, self.version, as_of)
        whole = timedelta(days=uc.spec.rollback.fresh_days).total_seconds()

        def gone(moment: "pd.Timestamp") -> float:
            return float((moment - self.since).total_seconds() / whole)

        return Look(gone(before) if before is not None else 0.0, gone(as_of))


def _tested_before(uc: Declaration, lake: Lake, version: int, as_of: "pd.Timestamp") -> "pd.Timestamp | None":
    """When a comparison of a version last spent a part of the false alarms, before `as_of`."""
    import pandas as pd

    table = succession_table(uc)
    with lake.read() as con:
        if not table_exists(con, table):
            return None
        if "level" not in columns_of(con, table):
            return None
        row = con.execute(
            f"SELECT max(as_of)::TIMESTAMP FROM {table} WHERE model_version = ? AND as_of < ? AND NOT isnan(level)",
            [version, as_of.to_pydatetime()],
        ).fetchone()
    return pd.Timestamp(row[0]) if row and row[0] else None


def _run(uc: Declaration, tracking: Tracking, version: int) -> str:
    found = tracking.version(uc.spec.name, version)
    if found is None:
        raise dg.Failure(f"{uc.spec.name} v{version} is not in the registry any more")
    return found.run_id


def _promoted_at(uc: Declaration, lake: Lake, version: int) -> "pd.Timestamp | None":
    """The data's time of the comparison that promoted a version."""
    import pandas as pd

    found = _champion_row(uc, lake, version, "as_of::TIMESTAMP")
    return pd.Timestamp(found) if found is not None else None


def _champion_row(uc: Declaration, lake: Lake, version: int, column: str) -> Any:
    with lake.read() as con:
        if not table_exists(con, champion_table(uc)):
            return None
        row = con.execute(
            f"SELECT {column} FROM {champion_table(uc)} WHERE promoted AND version_after = ? ORDER BY as_of LIMIT 1",
            [version],
        ).fetchone()
    return row[0] if row else None


def _row(fresh: _Fresh, told: "Succession", as_of: "pd.Timestamp") -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "as_of": as_of,
                "model_version": fresh.version,
                "predecessor": fresh.predecessor,
                "verdict": told.verdict,
                "reason": told.reason,
                "examples": told.examples,
                "labelled": told.labelled,
                "gain": told.gain.value,
                "gain_low": told.gain.low,
                "gain_high": told.gain.high,
                "promised": told.promised,
                "promised_before": told.promised_before,
                "level": told.level,
            }
        ]
    )


def _metadata(fresh: _Fresh, told: "Succession") -> dict[str, Any]:
    return {
        "verdict": told.verdict,
        "reason": told.reason,
        "model_version": fresh.version,
        "predecessor": fresh.predecessor,
        "examples": told.examples,
        "labelled": told.labelled,
        "difference": str(told.gain),
    }


def succession_sensor(uc: Declaration, jobs: dict[str, Any]) -> dg.SensorDefinition:
    """Roll back a fresh champion that did worse than the version before it."""

    @dg.sensor(
        name=f"{uc.spec.name}_succession",
        job=jobs[rollback_job(uc)],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="The newest comparison says roll_back: the predecessor comes back, and retraining is paused.",
    )
    def succession(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if replaying(uc):
            return dg.SkipReason(f"a replay moves the time of {uc.spec.name}; it asks for runs itself")
        if busy := unfinished_run(context.instance, uc):
            return dg.SkipReason(f"run {busy} of {uc.spec.name} is not finished")
        return wanted_rollback(context.instance, uc)

    return succession


def wanted_rollback(instance: dg.DagsterInstance, uc: Declaration) -> dg.RunRequest | dg.SkipReason:
    """The rollback that the newest comparison of the live version asks for."""
    live, lake = current_deployment(uc), Lake.at(Home.current())
    if live is None or not lake.has_table(succession_table(uc)):
        return dg.SkipReason("no champion has been compared with its predecessor yet")
    with lake.read() as con:
        row = con.execute(
            f"SELECT verdict, reason, predecessor FROM {succession_table(uc)} WHERE model_version = ? "
            "ORDER BY as_of DESC LIMIT 1",
            [int(live.version)],
        ).fetchone()
    if row is None or row[0] != "roll_back":
        return dg.SkipReason(f"v{live.version}: {row[0]}: {row[1]}" if row else f"v{live.version} is not fresh")
    if promoted_over(uc, lake, int(live.version)) is None:
        return dg.SkipReason(f"v{live.version} did not come by a promotion: who made it champion knew the verdict")
    rule = uc.spec.rollback
    if not rule.automatic:
        return dg.SkipReason(f"v{live.version}: {row[1]}; rollback.automatic is false")
    tag = {ROLLBACK_TAG: f"{uc.spec.name} v{live.version}"}
    before = tried(instance, uc, tag)
    if before is not None:
        return dg.SkipReason(f"the rollback of v{live.version} failed: {before.text}")
    return dg.RunRequest(
        run_key=f"roll back {tag[ROLLBACK_TAG]}",
        job_name=rollback_job(uc),
        run_config=rollback_config(uc, f"v{live.version} is {row[1]}", int(row[2]), rule.pause_days),
        tags={**use_case_tags(uc), **tag},
    )
