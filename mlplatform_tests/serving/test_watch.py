"""What is kept of requests: counts, times of stages, and lines of the log that hold nothing of the input."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from mlplatform.errors import ArtifactError
from mlplatform.serving.app import create_app
from mlplatform.serving.histogram import Histogram
from mlplatform.serving.logs import JsonLines, LogSettings
from mlplatform.serving.metrics import WorkerMetrics
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.traffic import Traffic
from mlplatform.serving.trial import Trial
from mlplatform.serving.watch import Observer, Watch
from mlplatform.serving.workers import Workers
from mlplatform_tests.serving.conftest import GOOD

Figures = dict[tuple[str, ...], float]


def client_of(live: Live | None, observer: Observer | None = None) -> httpx.AsyncClient:
    app = create_app(Slot(live), observer=observer)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def figures_of(client: httpx.AsyncClient) -> Figures:
    """Name and values of the labels, in the order of their names -> the value."""
    text = (await client.get("/metrics")).text
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the platform logs, as the service writes it."""
    written, platform = io.StringIO(), logging.getLogger("mlplatform")
    handler, level = logging.StreamHandler(written), platform.level
    handler.setFormatter(JsonLines(worker="1"))
    platform.addHandler(handler)
    platform.setLevel("INFO")
    yield written
    platform.removeHandler(handler)
    platform.setLevel(level)


def events_of(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


async def test_requests_are_counted_by_route_and_status(live: Live) -> None:
    async with client_of(live) as client:
        for body in (GOOD, GOOD, {"amount": "none"}):
            await client.post("/predict", json=body)
        await client.get("/predict")
        figures = await figures_of(client)

    counted = {key[1:3]: value for key, value in figures.items() if key[0] == "mlplatform_requests_total"}
    assert counted == {("/predict", "200"): 2, ("/predict", "422"): 1, ("/predict", "405"): 1}


async def test_paths_that_anybody_makes_up_are_one_route(live: Live) -> None:
    async with client_of(live) as client:
        for path in ("/a", "/b", "/v2/models/x/infer", "/v2/models/y/infer", "/v2/z"):
            await client.get(path)
        figures = await figures_of(client)

    routes = {key[1] for key in figures if key[0] == "mlplatform_requests_total"}
    assert routes == {"other", "/v2/models/{name}/infer", "/v2"}


async def test_each_stage_is_timed_once_per_request_and_all_are_less_than_the_whole(live: Live) -> None:
    async with client_of(live) as client:
        await client.post("/predict", json=GOOD)
        await client.post("/predict", json={**GOOD, "explain": False})
        figures = await figures_of(client)

    counts = {key[2]: value for key, value in figures.items() if key[0] == "mlplatform_stage_duration_seconds_count"}
    assert counts == {"parse": 2, "model": 2, "explanation": 1}
    parts = sum(value for key, value in figures.items() if key[0] == "mlplatform_stage_duration_seconds_sum")
    assert 0 < parts < figures["mlplatform_request_duration_seconds_sum", "/predict", "1"]


async def test_an_app_that_is_mounted_in_a_watched_one_counts_once(live: Live) -> None:
    observer = Observer()
    inner = create_app(Slot(live), observer=observer)
    outer = Starlette(routes=[Mount("/", inner)], middleware=[Middleware(Watch, observer=observer)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://service") as client:
        await client.post("/predict", json=GOOD)

    assert dict(observer.traffic.requests) == {("/predict", 200): 1}


async def test_metrics_are_in_the_format_that_is_asked_for(live: Live) -> None:
    async with client_of(live) as client:
        plain = await client.get("/metrics")
        other = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert plain.headers["content-type"].startswith("text/plain")
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.text.endswith("# EOF\n")


def test_a_value_at_a_bound_belongs_to_it() -> None:
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.observe(value)

    assert list(histogram.cumulated()) == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert histogram.sum == 8


def workers_of(folder: Path, worker: str, traffic: Traffic, live: Live) -> Workers:
    metrics = WorkerMetrics(traffic, Slot(live), None, Trial(), RawFeatures(None), worker)
    workers = Workers(lambda: folder, worker, metrics.families)
    workers._folder = folder
    return workers


def test_one_worker_tells_of_the_others_until_they_have_ended(live: Live, tmp_path: Path) -> None:
    traffic = Traffic()
    traffic.count("/predict", 200, 0.001, [])
    first, second = workers_of(tmp_path, "1", Traffic(), live), workers_of(tmp_path, "2", traffic, live)
    first.write(tmp_path)
    second.write(tmp_path)

    samples = [sample for family in first.families() for sample in family.samples]
    told = {s.labels["worker"]: s.value for s in samples if s.name == "mlplatform_requests_total"}
    assert told == {"2": 1}
    assert {s.labels["version"] for s in samples if s.name == "mlplatform_model_info"} == {"1"}

    second._leave()
    assert first.families() == []


async def test_a_worker_alone_writes_nothing_but_that_it_is_there(live: Live, tmp_path: Path) -> None:
    workers_of(tmp_path, "1", Traffic(), live).write(tmp_path)

    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [("1.json", 0)]


async def test_a_slow_request_is_one_line_with_its_stages(live: Live, lines: io.StringIO) -> None:
    async with client_of(live, Observer(log=LogSettings(slow_ms=0.001))) as client:
        for _ in range(3):
            await client.post("/predict", json=GOOD, headers={"X-Request-ID": "abc"})

    (event,) = events_of(lines)
    assert (event["event"], event["level"], event["route"], event["status"]) == (
        "slow_request",
        "warning",
        "/predict",
        200,
    )
    assert (event["request_id"], set(event["stages"])) == ("abc", {"parse", "model", "explanation"})


async def test_requests_have_lines_only_where_they_are_asked_for(live: Live, lines: io.StringIO) -> None:
    for share in (0.0, 1.0):
        async with client_of(live, Observer(log=LogSettings(access=share))) as client:
            await client.post("/predict", json=GOOD)

    assert [event["event"] for event in events_of(lines)] == ["request"]


async def test_no_line_holds_what_a_request_held(
    live: Live, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Live, rows: list[dict[str, Any]], *_: Any) -> None:
        raise ValueError(f"could not convert {rows[0]['amount']}")

    async with client_of(live, Observer(log=LogSettings(slow_ms=0.001, access=1))) as client:
        await client.post("/predict", json={**GOOD, "amount": 1234.5, "channel": "s3cret"})
        monkeypatch.setattr(Live, "score", fail)
        failed = await client.post(
            "/predict", json={**GOOD, "amount": 1234.5}, headers={"Authorization": "Bearer s3cret"}
        )

    events = events_of(lines)
    assert [event["request_id"] for event in events if event["event"] == "request_failed"] == [
        failed.json()["request_id"]
    ]
    assert "builtins.ValueError in fail (" in lines.getvalue()
    assert "1234.5" not in lines.getvalue()
    assert "s3cret" not in lines.getvalue()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LOG_FORMAT", "xml"), ("LOG_LEVEL", "LOUD"), ("SLOW_MS", "soon"), ("ACCESS_LOG", "2"), ("SLOW_MS", "nan")],
)
def test_a_setting_that_means_nothing_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(ArtifactError, match=variable):
        LogSettings.of({f"MLPLATFORM_{variable}": value})
