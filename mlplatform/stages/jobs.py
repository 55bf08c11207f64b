"""The jobs of a use case: everything, the data half, the model half, and the backtest of policies."""

from datetime import date, timedelta
from typing import Any

import dagster as dg

from mlplatform.spec import Declaration
from mlplatform.stages.naming import asset_key

__all__ = [
    "BY_HAND",
    "FINGERPRINT_TAG",
    "PARTITION",
    "RANGE_END",
    "RANGE_START",
    "ROLLBACK_TAG",
    "backtest_job",
    "challenge_job",
    "everything_job",
    "ingest_job",
    "jobs",
    "range_tags",
    "served_skew_job",
    "training_job",
    "unfinished_run",
    "use_case_tags",
]

MODEL_HALF = ("training_set", "champion", "model_card", "bento", "deployment")

BACKTEST = "policy_backtest"
"""The stage that replays history; it trains dozens of models."""
BY_HAND = ("rollback", "batch_scores", "challenger_log", "challenger_report", BACKTEST)
"""Stages that only a job of their own runs."""

ROLLBACK_TAG = "mlplatform/roll_back"
"""Tag of a rollback that the succession sensor asked for, and no person."""
FINGERPRINT_TAG = "mlplatform/fingerprint"
"""Tag of a run that ingests: the content of the sources that it read."""

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
PARTITION = "dagster/partition"
"""Tag of a run over one partition."""
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
"""Tags of a single run over partitions: the first and the last of them."""


def everything_job(uc: Declaration) -> str:
    """Name of the job that materialises the whole graph."""
    return f"{uc.spec.name}_everything"


def ingest_job(uc: Declaration) -> str:
    """Name of the job from new data to reports and decision."""
    return f"{uc.spec.name}_ingest_to_decision"


def training_job(uc: Declaration) -> str:
    """Name of the job from training set to deployment."""
    return f"{uc.spec.name}_train_to_deployment"


def backtest_job(uc: Declaration) -> str:
    """Name of the job that replays history for several policies; nothing but a person starts it."""
    return f"{uc.spec.name}_policy_backtest"


def challenge_job(uc: Declaration) -> str:
    """Name of the job that scores the journal with another version and compares."""
    return f"{uc.spec.name}_challenge"


def served_skew_job(uc: Declaration) -> str:
    """Name of the job that takes the journal in and compares it with the lake, once a day."""
    return f"{uc.spec.name}_served_skew"


def unfinished_run(instance: dg.DagsterInstance, uc: Declaration) -> str | None:
    """The short id of a run of this use case that is queued or running."""
    runs = instance.get_runs(dg.RunsFilter(tags=use_case_tags(uc), statuses=_UNFINISHED), limit=1)
    return runs[0].run_id[:8] if runs else None


def use_case_tags(uc: Declaration) -> dict[str, str]:
    """Runs of one use case wait for each other in the queue (see dagster.yaml)."""
    return {"mlplatform/use_case": uc.spec.name}


def range_tags(uc: Declaration, start: date, end: date) -> dict[str, str]:
    """Tags of a single run over the partitions that hold `start` to the day before `end`; none where there are none."""
    partitions = {source.partition for source in uc.spec.partitioned_sources}
    if not partitions:
        return {}
    first, last = start, end - timedelta(days=1)
    if partitions == {"month"}:
        first, last = first.replace(day=1), last.replace(day=1)
    return {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}


def jobs(uc: Declaration) -> dict[str, Any]:
    """The jobs by name; sensors start the first three, a schedule the served skew, people the others."""
    group = dg.AssetSelection.groups(uc.spec.name) - _keys(uc, *BY_HAND)
    model = _keys(uc, *MODEL_HALF, *(f"candidate_{c.name}" for c in uc.spec.training.candidates))
    # What is found by key must be as new as the features are.
    fresh = _keys(uc, *(("bento", "deployment") if uc.spec.serving.lookup else ()))
    described = {
        everything_job(uc): ("From raw data to the retrain decision.", group),
        ingest_job(uc): ("New data, features, drift report and retrain decision; no training.", group - model | fresh),
        training_job(uc): ("Training set, candidates, champion, model card, bento, deployment.", model),
        backtest_job(uc): ("What other policies would have cost and gained.", _keys(uc, BACKTEST)),
        f"{uc.spec.name}_rollback": (
            "An earlier version becomes champion and is deployed; retraining is paused.",
            _keys(uc, "rollback", "model_card", "bento", "deployment"),
        ),
        f"{uc.spec.name}_batch_scores": (
            "A table, or some days of it, scored by the live model.",
            _keys(uc, "batch_scores"),
        ),
        served_skew_job(uc): (
            "What services answered, and its features beside those in the lake; daily.",
            _keys(uc, "prediction_log", "skew_report"),
        ),
        challenge_job(uc): (
            "What services answered, the challenger on the same requests, and both compared.",
            _keys(uc, "prediction_log", "outcomes", "challenger_log", "challenger_report"),
        ),
    }
    return {
        name: dg.define_asset_job(name, selection, description=text, tags=use_case_tags(uc))
        for name, (text, selection) in described.items()
    }


def _keys(uc: Declaration, *stages: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(asset_key(uc, stage) for stage in stages))
