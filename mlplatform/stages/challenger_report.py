"""`challenger_report`: champion and challenger on the same requests: answers, latency, and the metric when mature."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.challenge import EXAMPLE, Latency, answers_to_both, served_latency
from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import prediction_table
from mlplatform.lake.tables import describe_table, merge_rows, widen
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.challenge_days import Challenge, challenge_span
from mlplatform.stages.challenger_log import versions_at
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from mlplatform.ml.challenge import Apart, PairedDifference, Pairs

__all__ = ["challenger_report_asset", "challenger_table"]

_KEY = ["as_of", "champion_version", "challenger_version", "since", "until"]
_CODE = ("ml/challenge.py", "lake/challenge.py", "stages/challenger_report.py", "stages/challenge_days.py")
_DESCRIPTION = "Champion and challenger on the same requests: scores, disagreement, latency, the metric when mature."


def challenger_table(uc: Declaration) -> str:
    """The lake table with one row per comparison: as of when, champion, challenger, requests since and until when."""
    return f"{uc.spec.name}.challenger_report"


def challenger_report_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Compare what both versions said, wherever that came from: shadow, canary or journal."""
    version = code_version(*_CODE)

    @dg.asset(
        **asset_attributes(uc, "challenger_report", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "challenger_log"), asset_key(uc, "outcomes")],
    )
    def challenger_report(
        context: dg.AssetExecutionContext, config: Challenge, lake: LakeResource, tracking: Tracking
    ) -> Iterator[Any]:
        opened = lake.open()
        if not opened.has_table(prediction_table(uc.spec)):
            raise dg.Failure(f"{uc.spec.name} has no log of predictions yet: there is nothing to compare")
        as_of = as_of_run(context, uc, opened)
        span = challenge_span(uc, context.run.tags, config, as_of)
        found = _compare(uc, opened, span, versions_at(uc, tracking, config.version), as_of)
        context.log.info(found.told)
        if found.apart is None:
            yield dg.MaterializeResult(metadata={"told": found.told, **found.versions})
            return
        row, table = _row(uc, found, as_of, span), challenger_table(uc)
        opened.commit(lambda con: _write(con, table, row), found.told)
        yield dg.MaterializeResult(
            metadata={**table_metadata(describe_table(opened, table)), **_metadata(uc, found)},
        )

    return challenger_report


def _write(con: "duckdb.DuckDBPyConnection", table: str, row: "pd.DataFrame") -> None:
    widen(con, table, row)
    merge_rows(con, table, row, _KEY)


@dataclass(frozen=True)
class _Found:
    """All there is to tell. `apart` is None where the two have no request in common."""

    champion: int
    challenger: int
    pairs: "Pairs"
    apart: "Apart | None"
    metric: "PairedDifference | None"
    latency: tuple[Latency, Latency]
    name: str

    @property
    def versions(self) -> dict[str, int]:
        return {"champion_version": self.champion, "challenger_version": self.challenger}

    @property
    def told(self) -> str:
        """One sentence."""
        if self.apart is None or self.metric is None:
            return (
                f"v{self.champion} and v{self.challenger} have answered no request in common, and the journal could "
                "not be scored; see challenger_log"
            )
        apart = f"{self.apart.disagreement:.1%} {self.apart.disagreement_of} on {self.apart.pairs:,} pairs"
        return f"v{self.challenger} less v{self.champion}: {self.name} {_difference(self.metric)}; {apart}"


def _compare(
    uc: Declaration,
    lake: Lake,
    span: "tuple[pd.Timestamp, pd.Timestamp]",
    versions: tuple[int, int],
    as_of: "pd.Timestamp",
) -> _Found:
    from mlplatform.ml.challenge import REQUEST, answers_apart, pair_answers, paired_difference

    spec, training = uc.spec, uc.spec.training
    (first, last), (champion, challenger) = span, versions
    moments = (moment.to_pydatetime() for moment in (first, last, as_of))
    rows = answers_to_both(lake, spec, (champion, challenger), *moments)
    ours, theirs = (rows[rows["model_version"] == version] for version in (champion, challenger))
    pairs = pair_answers(ours, theirs, training, [REQUEST, EXAMPLE])
    latency = served_latency(lake, spec, champion, challenger)
    if not len(pairs):
        return _Found(champion, challenger, pairs, None, None, latency, str(training.metric))
    judged = pairs.newest_per_example()
    metric = paired_difference(
        judged.rows,
        judged.challenger,
        judged.champion,
        training,
        spec.performance,
        event_time=spec.event_time,
        as_of=as_of,
    )
    return _Found(champion, challenger, pairs, answers_apart(pairs, training), metric, latency, str(training.metric))


def _row(
    uc: Declaration, found: _Found, as_of: "pd.Timestamp", span: "tuple[pd.Timestamp, pd.Timestamp]"
) -> "pd.DataFrame":
    import pandas as pd

    from mlplatform.ml.challenge import QUANTILES

    assert found.apart is not None
    assert found.metric is not None
    apart, metric, (ours, theirs) = found.apart, found.metric, found.latency
    moments = found.pairs.rows[uc.spec.event_time]
    return pd.DataFrame(
        [
            {
                "as_of": as_of,
                **found.versions,
                "since": span[0],
                "until": span[1],
                "first_event": moments.min(),
                "last_event": moments.max(),
                "requests": apart.requests,
                "pairs": apart.pairs,
                "correlation": apart.correlation,
                "mean_difference": apart.mean_difference,
                **{f"difference_q{q:g}".replace(".", ""): v for q, v in zip(QUANTILES, apart.quantiles, strict=True)},
                "disagreement": apart.disagreement,
                "disagreement_of": apart.disagreement_of,
                "champion_requests": ours.requests,
                "champion_p50_ms": ours.p50_ms,
                "champion_p99_ms": ours.p99_ms,
                "challenger_requests": theirs.requests,
                "challenger_p50_ms": theirs.p50_ms,
                "challenger_p99_ms": theirs.p99_ms,
                "metric": found.name,
                "champion_metric": metric.second,
                "challenger_metric": metric.first,
                "metric_difference": metric.difference.value,
                "low": metric.difference.low,
                "high": metric.difference.high,
                "labelled": metric.labelled,
                "state": "mature" if metric.mature else "provisional",
            }
        ]
    ).astype(dict.fromkeys(("as_of", "since", "until", "first_event", "last_event"), "datetime64[us]"))


def _metadata(uc: Declaration, found: _Found) -> dict[str, Any]:
    from mlplatform.ml.challenge_plots import plot_answers
    from mlplatform.ml.tasks import task_for

    assert found.apart is not None
    task, pairs = task_for(uc.spec.training.task), found.pairs
    names = (f"v{found.champion}, champion", f"v{found.challenger}, challenger")
    ours, theirs = task.middle(pairs.champion), task.middle(pairs.challenger)
    title = f"{found.apart.disagreement:.1%} {found.apart.disagreement_of}"
    drawn = plot_answers(ours, theirs, pairs.decided_otherwise, names, title)
    return {
        "told": found.told,
        **found.versions,
        "comparison": dg.MetadataValue.table(_records(found)),
        "answers": picture(drawn, "both versions' answers"),
        "disagreement": round(found.apart.disagreement, 6),
    }


def _records(found: _Found) -> list[dg.TableRecord]:
    """What a person compares, champion beside challenger."""
    assert found.apart is not None
    assert found.metric is not None
    apart, metric, (ours, theirs) = found.apart, found.metric, found.latency
    low, high = apart.quantiles[0], apart.quantiles[-1]
    lines = [
        (found.name, metric.second, metric.first, _difference(metric)),
        ("p50 ms", ours.p50_ms, theirs.p50_ms, _served(ours, theirs)),
        ("p99 ms", ours.p99_ms, theirs.p99_ms, ""),
        ("answers", math.nan, math.nan, f"correlation {_shown(apart.correlation)}, {apart.pairs:,} pairs"),
        ("difference of answers", math.nan, math.nan, f"{_shown(apart.mean_difference)}, 90% {low:.3g} to {high:.3g}"),
        ("disagreement", math.nan, math.nan, f"{apart.disagreement:.2%} {apart.disagreement_of}"),
    ]
    columns = (f"v{found.champion} (champion)", f"v{found.challenger} (challenger)")
    return [
        dg.TableRecord({"what": what, columns[0]: _shown(one), columns[1]: _shown(other), "compared": text})
        for what, one, other, text in lines
    ]


def _difference(metric: "PairedDifference") -> str:
    if not metric.labelled:
        return "not known, no label has come"
    state = "mature" if metric.mature else "provisional"
    return f"{metric.difference} on {metric.labelled:,} labelled, {state}"


def _served(ours: Latency, theirs: Latency) -> str:
    if not theirs.requests:
        return "the challenger ran in no service"
    return f"{ours.requests:,} and {theirs.requests:,} requests while both ran"


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"
