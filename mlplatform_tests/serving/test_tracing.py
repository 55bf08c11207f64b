"""When there are spans, and what is in them. That they leave a running service is in test_protocols.py."""

import logging
import subprocess
import sys
from itertools import pairwise

import httpx
import pytest

from mlplatform.serving.app import create_app
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.tracing import is_configured, tracing_of
from mlplatform.serving.watch import Observer
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.otlp import attributes_of, receiving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], expected: bool) -> None:
    assert is_configured(environment) is expected


def test_an_exporter_that_is_not_installed_is_told_of_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    environment = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    with caplog.at_level(logging.ERROR):
        assert tracing_of(environment, dict) is None
    assert "no exporter otlp_proto_grpc" in caplog.text


async def test_a_request_is_a_span_with_its_parts_below_the_caller_s(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        tracing = tracing_of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, live.describe)
        assert tracing is not None
        app = create_app(Slot(live), observer=Observer(tracing=tracing))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "mine"}
            await client.post("/predict", json=GOOD, headers=sent)
            await client.get("/readyz")
        tracing.close()
        spans = receiver.wait_for(TRACE, "POST /predict")

    (request,) = [span for span in spans if span.name == "POST /predict"]
    parts = [span for span in spans if span is not request]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert [span.name for span in parts] == ["parse", "parse", "model", "explanation"]
    assert {span.parent_span_id for span in parts} == {request.span_id}
    for before, after in pairwise(parts):
        assert request.start_time_unix_nano <= before.start_time_unix_nano <= before.end_time_unix_nano
        assert before.end_time_unix_nano <= after.end_time_unix_nano <= request.end_time_unix_nano
    told = attributes_of(request)
    assert (told["http.route"], told["http.response.status_code"]) == ("/predict", 200)
    assert (told["mlplatform.request_id"], told["mlplatform.version"]) == ("mine", "1")


def test_without_an_exporter_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, mlplatform.serving.app\n"
        "from mlplatform.serving.tracing import tracing_of\n"
        "assert tracing_of({}, dict) is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))])"
    )

    assert subprocess.check_output([sys.executable, "-W", "ignore", "-c", code], text=True).strip() == "[]"
