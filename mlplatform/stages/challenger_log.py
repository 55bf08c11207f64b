"""`challenger_log`: another version on the requests of the past, from the journal, without a service that runs it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.lake.challenge import answers_by_day, unanswered
from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import prediction_table
from mlplatform.lake.tables import describe_table, merge_rows
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.challenge_days import Challenge, challenge_days, challenge_span
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.event_days import event_days
from mlplatform.stages.naming import asset_attributes, asset_key

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.serving.journal_scoring import Rescored

__all__ = ["challenger_log_asset", "live_version", "versions_at"]

_DESCRIPTION = (
    "The challenger, and the champion, on logged requests that they did not answer: rows of the prediction log with "
    "the role 'journal'. Run by the challenge job."
)


def challenger_log_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Score what is not scored yet of the run's days, or, in a run without days, of what its configuration names.

    The same run again adds what has been logged since.
    """
    stages = ("stages/challenger_log.py", "stages/challenge_days.py", "stages/event_days.py")
    version = code_version("serving/journal_scoring.py", "lake/challenge.py", *stages)

    @dg.asset(
        **asset_attributes(uc, "challenger_log", _DESCRIPTION, {"mlflow", "duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "prediction_log")],
        partitions_def=event_days(uc),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def challenger_log(
        context: dg.AssetExecutionContext, config: Challenge, lake: LakeResource, tracking: Tracking
    ) -> Iterator[Any]:
        opened = lake.open()
        first, last = challenge_span(uc, context.run.tags, config, as_of_run(context, uc, opened))
        champion, challenger = versions_at(uc, tracking, config.version)
        told: dict[str, Any] = {
            "model_version": challenger,
            "against": champion,
            "first": str(first),
            "last": str(last),
        }
        for name, number in (("challenger", challenger), ("champion", champion)):
            rows, done = _score(uc, opened, tracking, number, first, last)
            context.log.info(f"v{number}, the {name}: {_told(rows, done)}")
            told |= _counts(name, rows, done)
        _tell_days(context, uc, opened, (champion, challenger), first, last)
        yield dg.MaterializeResult(
            metadata={**table_metadata(describe_table(opened, prediction_table(uc.spec))), **told}
        )

    return challenger_log


def versions_at(uc: Declaration, tracking: Tracking, asked: int) -> tuple[int, int]:
    """The live version, and the one that is compared with it.

    Raises:
        ArtifactError: nothing is live, there is no such version, or no other one.
    """
    live, name = live_version(uc), uc.spec.name
    known = tracking.versions(name)
    number = asked or _named_by_services(uc, live) or max((v for v in known if v != live), default=0)
    if not number:
        raise ArtifactError(f"{name} has no version but v{live}, which is live: there is nobody to compare it with")
    if number == live:
        raise ArtifactError(f"v{number} of {name} is live: name another version; registered: {known}")
    if number not in known:
        raise ArtifactError(f"{name} has no version {number}; registered: {', '.join(map(str, known)) or 'none'}")
    return live, number


def live_version(uc: Declaration) -> int:
    """The version that services answer with; raises ArtifactError if there is none."""
    live = current_deployment(uc)
    if live is None:
        raise ArtifactError(f"nothing is deployed for {uc.spec.name}: there is no champion to challenge")
    return int(live.version)


def _named_by_services(uc: Declaration, live: int) -> int:
    """The version that the challenger's file names; 0 without one, or if it has become the champion."""
    from mlplatform.serving.challenger import read_challenger

    file = Home.current().challenger(uc.spec.name)
    if not file.exists():
        return 0
    version = int(read_challenger(file).version)
    return 0 if version == live else version


def _score(
    uc: Declaration, lake: Lake, tracking: Tracking, version: int, first: "pd.Timestamp", last: "pd.Timestamp"
) -> "tuple[int, Rescored]":
    """How many rows were added, and how many could not be, by reason."""
    import pyarrow as pa

    from mlplatform.serving.journal_ingest import prediction_schema
    from mlplatform.serving.journal_scoring import Rescored, open_model, rescore

    registered = tracking.version(uc.spec.name, version)
    if registered is None:
        raise ArtifactError(f"the live version {version} of {uc.spec.name} is not registered any more")
    live = open_model(tracking.model_folder(registered.run_id), uc.spec.name, version)
    table, schema = prediction_table(uc.spec), prediction_schema(uc.spec.entity_keys)
    added, counted = 0, Rescored()
    for logged in unanswered(lake, uc.spec, version, first.to_pydatetime(), last.to_pydatetime()):
        done = rescore(live, logged, uc.spec.journal.hashed)
        counted = counted.plus(done)
        if not done.rows:
            continue
        rows = pa.Table.from_pylist([dict(row) for row in done.rows], schema)
        _write(lake, table, rows, f"v{version} on {len(rows)} logged requests")
        added += len(rows)
    return added, counted


def _write(lake: Lake, table: str, rows: Any, message: str) -> None:
    lake.commit(lambda con: merge_rows(con, table, rows, ["prediction_id"]), message)


def _tell_days(
    context: dg.AssetExecutionContext,
    uc: Declaration,
    lake: Lake,
    versions: tuple[int, int],
    first: "pd.Timestamp",
    last: "pd.Timestamp",
) -> None:
    """Per day, how many answers of each of the two the log holds now; a run without days has made its days, too."""
    held = answers_by_day(lake, uc.spec, versions, first.to_pydatetime(), last.to_pydatetime())
    partitioned = context.has_partition_key or context.has_partition_key_range
    for day in context.partition_keys if partitioned else challenge_days(uc, first, last):
        champion, challenger = held.get(day, (0, 0))
        told = {"champion_answers": champion, "challenger_answers": challenger, "challenger_version": versions[1]}
        if partitioned:
            context.add_asset_metadata(told, partition_key=day)
        elif champion or challenger:
            key = asset_key(uc, "challenger_log")
            context.log_event(dg.AssetMaterialization(key, partition=day, metadata=told))


_REASONS = {
    "learned_from": "are of a time that it may have learned from",
    "not_kept": "lack a feature that the journal does not keep",
    "hashed": "have a feature as a hash only",
    "refused": "are refused by its contract",
}


def _told(rows: int, done: "Rescored") -> str:
    left_out = [f"{count:,} {text}" for name, text in _REASONS.items() if (count := getattr(done, name))]
    return "; ".join([f"{rows:,} predictions scored", *left_out])


def _counts(name: str, rows: int, done: "Rescored") -> dict[str, Any]:
    return {f"{name}_scored": rows} | {f"{name}_{reason}": getattr(done, reason) for reason in _REASONS}
