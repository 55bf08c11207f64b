"""GET /metrics: all that one worker knows of itself, as Prometheus reads it; with several workers, of all of them.

Every series carries the label `worker`. The hot path counts in plain objects (`traffic.py`); text is made when asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from mlplatform.serving.histogram import Histogram
from mlplatform.serving.journal import Journal
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.scoring import Slot
from mlplatform.serving.traffic import Traffic
from mlplatform.serving.trial import Trial

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Others", "WorkerMetrics", "metrics_route"]

_Labels = tuple[tuple[str, str], ...]


class Others(Protocol):
    """The other workers of this service."""

    def families(self) -> list[Metric]:
        """What they last said of themselves."""
        ...


@dataclass(frozen=True)
class WorkerMetrics:
    """Where the figures of one worker come from."""

    traffic: Traffic
    slot: Slot
    journal: Journal | None
    trial: Trial
    raw: RawFeatures
    worker: str = "1"
    turned_away: Mapping[str, int] = field(default_factory=dict)
    """Reason -> requests that the guard refused."""

    def families(self) -> list[Metric]:
        """Each family once, every sample with the worker's label."""
        from prometheus_client import ProcessCollector
        from prometheus_client.core import Metric

        families: list[Metric] = []
        process = ProcessCollector(registry=None).collect()
        for family in (*self._traffic(), *self._model(), *self._journals(), *self._trial(), *self._raw(), *process):
            labelled = Metric(family.name, family.documentation, family.type)
            labelled.samples = [s._replace(labels={**s.labels, "worker": self.worker}) for s in family.samples]
            families.append(labelled)
        return families

    def _traffic(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily

        requests = CounterMetricFamily("mlplatform_requests", "Requests.", labels=["route", "status"])
        for (route, status), count in dict(self.traffic.requests).items():
            requests.add_metric([route, str(status)], count)
        yield requests
        refused = CounterMetricFamily(
            "mlplatform_requests_refused", "Requests that were turned away.", labels=["reason"]
        )
        for reason, count in sorted(dict(self.turned_away).items()):
            refused.add_metric([reason], count)
        yield refused
        yield _histogram(
            "mlplatform_request_duration_seconds",
            "From reading a request to having sent its answer.",
            {(("route", route),): found for route, found in dict(self.traffic.seconds).items()},
        )
        yield _histogram(
            "mlplatform_stage_duration_seconds",
            "Parts of a request: parse, features (waiting included), model, explanation, journal (the hand-over).",
            {(("route", r), ("stage", s)): found for (r, s), found in dict(self.traffic.stages).items()},
        )

    def _model(self) -> Iterator[Metric]:
        slot = self.slot
        yield _info("mlplatform_model", "The live model.", slot.live.describe() if slot.live else None)
        refused = int(slot.problem is not None)
        yield _gauge("mlplatform_deployment_refused", "1 while the newest deployment could not be loaded.", refused)
        yield _counter("mlplatform_deployments_swapped", "Models that went live.", slot.swapped)
        yield _counter("mlplatform_deployments_refused", "Deployments that could not be loaded.", slot.refused)

    def _journals(self) -> Iterator[Metric]:
        journals = [each for each in (self.journal, self.trial.journal) if each is not None]
        for name, said in (
            ("written", "Predictions on disk."),
            ("dropped", "Predictions that a full queue turned away."),
            ("failed", "Predictions that the disk or the encoding refused."),
        ):
            yield _counter(f"mlplatform_journal_{name}", said, sum(getattr(each, name) for each in journals))
        waiting = sum(each.waiting for each in journals)
        yield _gauge("mlplatform_journal_waiting", "Predictions that are not on disk yet.", waiting)

    def _trial(self) -> Iterator[Metric]:
        trial = self.trial
        refused = int(trial.problem is not None)
        yield _gauge("mlplatform_challenger_refused", "1 while the challenger that is named does not run.", refused)
        described = trial.challenge.describe() if trial.challenge else None
        yield _info("mlplatform_challenger", "The challenger that is tried.", described)
        waiting = trial.challenge.aside.waiting if trial.challenge else 0
        yield _gauge("mlplatform_challenger_waiting", "What waits for the challenger.", waiting)
        said = {
            "answered": "Requests that a canary answered, wholly or in part.",
            "shadowed": "Predictions that a shadow made.",
            "dropped": "Predictions that a shadow was too far behind for.",
            "failed": "Requests that a challenger could not answer, or not in time.",
        }
        for name, count in asdict(trial.counts).items():
            yield _counter(f"mlplatform_challenger_{name}", said[name], count)

    def _raw(self) -> Iterator[Metric]:
        """Without samples where nobody asks by raw events."""
        raw = self.raw
        told = raw.describe() or {}
        sizes: dict[_Labels, Histogram] = {(): raw.batches.sizes} if told else {}
        yield _histogram("mlplatform_feature_batch_rows", "Events that shared one query of /score.", sizes)
        yield _gauge("mlplatform_features_waiting", "Events that no query has taken up yet.", told.get("waiting"))
        turned = "Requests that a full queue turned away."
        yield _counter("mlplatform_features_refused", turned, raw.batches.refused if told else None)
        yield _gauge("mlplatform_history_rows", "Rows of the past that features are made of.", told.get("rows"))
        newest = datetime.fromisoformat(told["newest"]).replace(tzinfo=UTC).timestamp() if told.get("newest") else None
        what = "The newest event of the past; `time() - this` is its age."
        yield _gauge("mlplatform_history_newest_timestamp_seconds", what, newest)
        failing = int(told["problem"] is not None) if told else None
        yield _gauge("mlplatform_history_refused", "1 while the lake's newest past cannot be read.", failing)
        yield _gauge("mlplatform_events_seen", "Answered events that the lake does not know yet.", told.get("seen"))
        forgotten = "Answered events that had to make room before the lake knew them."
        yield _counter("mlplatform_events_dropped", forgotten, raw.forgotten if told else None)


def metrics_route(own: WorkerMetrics, others: Others | None = None) -> Any:
    """The endpoint; `others`: where there may be more workers."""

    async def metrics(request: Request) -> Response:
        # Beside the event loop: some milliseconds, in which requests would wait.
        body, media_type = await asyncio.to_thread(_text, request.headers.get("accept", ""), own, others)
        return Response(body, media_type=media_type)

    return metrics


def _text(accept: str, own: WorkerMetrics, others: Others | None) -> tuple[bytes, str]:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(_Collected([*own.families(), *(others.families() if others else [])]))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Collected:
    """Families of several workers, each name once, as the format demands."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families: dict[str, Metric] = {}
        for family in families:
            first = self._families.setdefault(family.name, family)
            if first is not family:
                first.samples.extend(family.samples)

    def collect(self) -> Iterable[Metric]:
        return self._families.values()


def _counter(name: str, said: str, value: float | None) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, said, value)


def _gauge(name: str, said: str, value: float | None) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, said, value)


def _info(name: str, said: str, labels: Mapping[str, Any] | None) -> Metric:
    """A gauge that is always 1: how Prometheus names versions. No sample where there is nothing to name."""
    from prometheus_client.core import GaugeMetricFamily

    texts = {key: str(value) for key, value in (labels or {}).items()}
    family = GaugeMetricFamily(f"{name}_info", said, labels=list(texts))
    if texts:
        family.add_metric(list(texts.values()), 1)
    return family


def _histogram(name: str, said: str, found: Mapping[_Labels, Histogram]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    names = [label for label, _ in next(iter(found), ())]
    family = HistogramMetricFamily(name, said, labels=names)
    for labels, histogram in found.items():
        family.add_metric([value for _, value in labels], list(histogram.cumulated()), histogram.sum)
    return family
