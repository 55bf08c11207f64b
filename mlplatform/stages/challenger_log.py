"""`challenger_log`: another version on the requests of the past, from the journal, without a service that runs it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.lake.challenge import unanswered
from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import prediction_table
from mlplatform.lake.tables import describe_table, merge_rows
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.naming import asset_attributes, asset_key

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.serving.journal_scoring import Rescored

__all__ = ["Challenge", "challenge_config", "challenge_span", "challenger_log_asset", "live_version", "versions_at"]

_DESCRIPTION = (
    "The challenger, and the champion, on logged requests that they did not answer: rows of the prediction log with "
    "the role 'journal'. Run by the challenge job."
)
_WINDOWS = 16
"""How many of performance's windows are looked at if nothing is said."""


class Challenge(dg.Config):
    """Which version is compared with the live one, and on which requests."""

    version: int = 0
    """0: the challenger of the running services, else the newest registered version that is not live."""
    first: str = ""
    """Event time from which on requests count, ISO 8601; empty: 16 windows of `performance` before the last."""
    last: str = ""
    """Event time up to which requests count; empty: the run's logical time."""


def challenge_config(uc: Declaration, version: int = 0, first: str = "", last: str = "") -> dict[str, Any]:
    """Run configuration of the challenge job."""
    config = {"config": {"version": version, "first": first, "last": last}}
    return {"ops": {f"{uc.spec.name}__{stage}": config for stage in ("challenger_log", "challenger_report")}}


def challenger_log_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Score what is not scored yet; the same run again adds nothing."""
    version = code_version("serving/journal_scoring.py", "lake/challenge.py", "stages/challenger_log.py")

    @dg.asset(
        **asset_attributes(uc, "challenger_log", _DESCRIPTION, {"mlflow", "duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "prediction_log")],
    )
    def challenger_log(
        context: dg.AssetExecutionContext, config: Challenge, lake: LakeResource, tracking: Tracking
    ) -> Iterator[Any]:
        opened = lake.open()
        first, last = challenge_span(uc, config, as_of_run(context, uc, opened))
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


def challenge_span(uc: Declaration, config: Challenge, as_of: "pd.Timestamp") -> "tuple[pd.Timestamp, pd.Timestamp]":
    """From and until which event time requests count; raises ArtifactError where the configuration names no time."""
    import pandas as pd

    try:
        last = pd.Timestamp(config.last) if config.last else as_of
        usual = last - timedelta(days=_WINDOWS * uc.spec.performance.window_days)
        first = pd.Timestamp(config.first) if config.first else usual
    except ValueError as error:
        raise ArtifactError(f"`first` and `last` are times like 2018-08-01, not as they are here: {error}") from error
    if not first < last:
        raise ArtifactError(f"the requests would be those from {first} until {last}: there are none")
    return first, last


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
