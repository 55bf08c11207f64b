"""Which requests a challenge is about: the days that a run was asked for, or those that its configuration names."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError
from mlplatform.spec import Declaration
from mlplatform.stages.event_days import days_of_run, event_days
from mlplatform.stages.jobs import RANGE_END, RANGE_START

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Challenge", "challenge_config", "challenge_day_tags", "challenge_days", "challenge_span", "whole_days"]

_WINDOWS = 16
"""How many of performance's windows are looked at if nothing is said."""


class Challenge(dg.Config):
    """Which version is compared with the live one, and, in a run without days, on which requests."""

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


def challenge_day_tags(uc: Declaration, first: "pd.Timestamp", last: "pd.Timestamp") -> dict[str, str]:
    """Tags of a single run over the days in [first, last) that there are; none where there are none."""
    days = challenge_days(uc, first, last)
    return {RANGE_START: days[0], RANGE_END: days[-1]} if days else {}


def challenge_days(uc: Declaration, first: "pd.Timestamp", last: "pd.Timestamp") -> list[str]:
    """The whole days in [first, last) that are partitions."""
    known = event_days(uc)
    return [day for day in whole_days(first, last) if known.has_partition_key(day)]


def challenge_span(
    uc: Declaration, tags: Mapping[str, str], config: Challenge, as_of: "pd.Timestamp"
) -> "tuple[pd.Timestamp, pd.Timestamp]":
    """From and until which event time requests count: `tags` are the run's, and come before its configuration.

    Raises ArtifactError where the configuration names no time, or no time is left.
    """
    import pandas as pd

    if days := days_of_run(tags):
        return pd.Timestamp(days[0]), pd.Timestamp(days[1])
    try:
        last = pd.Timestamp(config.last) if config.last else as_of
        usual = last - timedelta(days=_WINDOWS * uc.spec.performance.window_days)
        first = pd.Timestamp(config.first) if config.first else usual
    except ValueError as error:
        raise ArtifactError(f"`first` and `last` are times like 2018-08-01, not as they are here: {error}") from error
    if not first < last:
        raise ArtifactError(f"the requests would be those from {first} until {last}: there are none")
    return first, last


def whole_days(first: datetime, last: datetime) -> Sequence[str]:
    """Keys of the days that lie wholly in [first, last)."""
    start = first.date() + timedelta(days=first.time() > datetime.min.time())
    return [(start + timedelta(days=i)).isoformat() for i in range((last.date() - start).days)]
