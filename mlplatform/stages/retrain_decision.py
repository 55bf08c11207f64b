"""`retrain_decision`: retrain, wait or blocked, and the evidence, as one readable row per window."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.tables import describe_table, merge_rows
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.champion import champion_table
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.drift_report import policy_windows
from mlplatform.stages.jobs import use_case_tags
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pause import Pause, current_pause
from mlplatform.stages.performance_report import performance_windows
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.decision import Champion, Decision

__all__ = [
    "DECISION_ID",
    "DECISION_TAG",
    "REASON",
    "REASON_TAG",
    "VERDICT",
    "WINDOW",
    "WINDOW_TAG",
    "decision_table",
    "keep_decision",
    "newest_decision",
    "retrain_decision_asset",
]

VERDICT, REASON, DECISION_ID = "verdict", "reason", "decision_id"
WINDOW = ("window_start", "window_end")
"""Columns: the window that decided."""
DECISION_TAG, REASON_TAG, WINDOW_TAG = "mlplatform/decision_id", "mlplatform/reason", "mlplatform/window"
"""Tags of the run that acts on a decision: which, why, and the window that decided, `start/end` in ISO."""
_RECENT_RUNS = 200
_DESCRIPTION = "Retrain, wait or blocked, with the numbers it was weighed on."


def decision_table(uc: Declaration) -> str:
    """The lake table with one row per decision."""
    return f"{uc.spec.name}.retrain_decision"


def newest_decision(uc: Declaration, lake: Lake) -> dict[str, Any] | None:
    """The decision on the newest window; None before the first.

    `as_of`, `decided_at`, `window_start` and `window_end` are datetimes (the windows None in rows of older tables),
    `decision_id`, `verdict` and `reason` text, `evidence` is JSON text. Read from the lake, not from a Dagster
    instance: the lake is what all instances, and the command line, share.
    """
    if not lake.has_table(decision_table(uc)):
        return None
    with lake.read() as con:
        row = con.execute(f"SELECT * FROM {decision_table(uc)} ORDER BY as_of DESC, decided_at DESC LIMIT 1").fetchone()
        names = [column[0] for column in con.description or ()]
    return {**dict.fromkeys(WINDOW), **dict(zip(names, row, strict=True))} if row else None


def keep_decision(con: Any, uc: Declaration, decision: "Decision", as_of: "pd.Timestamp") -> int:
    """One row in the lake, the same one when the same facts are judged again; returns rows touched."""
    table = decision_table(uc)
    if table_exists(con, table):
        # A table from before decisions named their window gets the columns.
        for column in WINDOW:
            con.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} TIMESTAMP")
    return merge_rows(con, table, _row(decision, as_of), ["as_of", DECISION_ID])


def retrain_decision_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Weigh drift and performance of the latest windows, age, new labels, cool-down and budget against the policy."""
    version = code_version("ml/decision.py", "ml/signals.py", "stages/retrain_decision.py", declared=uc.spec.policy)

    @dg.asset(
        **asset_attributes(uc, "retrain_decision", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "drift_report"), asset_key(uc, "performance_report")],
    )
    def retrain_decision(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        from mlplatform.ml.decision import decide

        opened = lake.open()
        moment = as_of_run(context, uc, opened)
        champion = _champion(uc, opened)
        decision = decide(
            uc.spec.name,
            policy_windows(uc, opened, int(champion.version), moment) if champion else [],
            uc.spec.policy,
            as_of=moment,
            champion=champion,
            performance=performance_windows(uc, opened, int(champion.version)) if champion else [],
            new_labelled_rows=_new_labelled_rows(uc, opened, champion, moment),
            acted_on=_acted_on(context.instance, uc),
            **_paused(current_pause(uc, opened, moment.to_pydatetime())),
        )
        done = opened.commit(lambda con: keep_decision(con, uc, decision, moment), f"decision {moment:%Y-%m-%d}")
        context.log.info(f"{decision.verdict}: {decision.reason}")
        yield dg.MaterializeResult(
            metadata={
                **table_metadata(describe_table(opened, decision_table(uc), done.snapshot)),
                VERDICT: decision.verdict,
                REASON: decision.reason,
                **_pictures(decision),
                DECISION_ID: decision.decision_id,
                **{name: edge.isoformat() for name, edge in zip(WINDOW, decision.window, strict=True)},
                "as_of": moment.isoformat(),
                "evidence": dg.MetadataValue.json(decision.evidence),
            }
        )

    return retrain_decision


def _pictures(decision: "Decision") -> dict[str, Any]:
    from mlplatform.ml.monitoring_plots import plot_decision

    if decision.evidence["champion"] is None:
        return {}
    return {"weighed": picture(plot_decision(decision), "what was weighed")}


def _champion(uc: Declaration, lake: Lake) -> "Champion | None":
    """The live version; its cool-down counts from the latest comparison, promoted or refused."""
    import pandas as pd

    from mlplatform.ml.decision import Champion

    live = current_deployment(uc)
    with lake.read() as con:
        if live is None or not table_exists(con, champion_table(uc)):
            return None
        row = con.execute(
            "SELECT max(as_of), max_by(total, as_of) FROM (SELECT as_of, sum(training_seconds) AS total "
            f"FROM {champion_table(uc)} GROUP BY as_of, training_snapshot)"
        ).fetchone()
    if row is None or row[0] is None:
        return None
    return Champion(live.version, pd.Timestamp(row[0]), float(row[1]))


def _paused(pause: Pause | None) -> dict[str, Any]:
    import pandas as pd

    if pause is None:
        return {}
    # A pause without an end lasts until somebody releases it.
    until = pd.Timestamp(pause.until) if pause.until else pd.Timestamp.max
    return {"paused_until": until, "pause_reason": f"by {pause.by}: {pause.reason}"}


def _acted_on(instance: dg.DagsterInstance, uc: Declaration) -> set[str]:
    """Decisions that a run has acted on, or is acting on; one that died may be tried again."""
    died = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    runs = instance.get_runs(dg.RunsFilter(tags=use_case_tags(uc)), limit=_RECENT_RUNS)
    return {run.tags[DECISION_TAG] for run in runs if DECISION_TAG in run.tags and run.status not in died}


def _new_labelled_rows(uc: Declaration, lake: Lake, champion: "Champion | None", as_of: "pd.Timestamp") -> int:
    if champion is None:
        return 0
    known = uc.spec.label_known_at
    with lake.read() as con:
        row = con.execute(
            f"SELECT count(*) FROM {uc.spec.name}.spine "
            f"WHERE {known} > ? AND {known} <= ? AND {uc.spec.training.label} IS NOT NULL",
            [champion.trained_at.to_pydatetime(), as_of.to_pydatetime()],
        ).fetchone()
    return int(row[0]) if row else 0


def _row(decision: "Decision", as_of: "pd.Timestamp") -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "as_of": as_of,
                DECISION_ID: decision.decision_id,
                VERDICT: decision.verdict,
                REASON: decision.reason,
                **dict(zip(WINDOW, decision.window, strict=True)),
                "evidence": json.dumps(decision.evidence),
                "decided_at": pd.Timestamp(datetime.now(UTC)).tz_localize(None),
            }
        ]
    )
