"""OpenTelemetry spans of requests, where the standard variables name an exporter; without one nothing is imported.

The parts of a request were timed anyway (`laps.py`): their spans are made when it is over, with the times of then.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from starlette.types import Scope

from mlplatform.serving.laps import Lap

__all__ = ["RequestSpan", "Tracing", "is_configured", "tracing_of"]

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_BY_PROTOCOL = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_FAILED = 500

Describe = Callable[[], Mapping[str, str]]


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for spans: they name an endpoint or an exporter, and the SDK is not off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter != "none" and bool(exporter or any(environment.get(name) for name in _ENDPOINTS))


def tracing_of(environment: Mapping[str, str], describe: Describe, worker: str = "1") -> "Tracing | None":
    """Spans as the environment asks for; None where it asks for none, or for what is not installed, which is logged.

    `describe`: the live model, for the attributes. Starts a thread: call it in the worker.
    """
    if not is_configured(environment):
        return None
    names = [_installed_name(name, environment) for name in environment.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    found = {entry.name: entry for entry in entry_points(group="opentelemetry_traces_exporter")}
    missing = sorted(set(names) - set(found))
    if missing:
        logger.error(
            "No spans: there is no exporter %s; install the package opentelemetry-exporter-... that has it, or name %s",
            ", ".join(missing),
            " or ".join(sorted(found)),
            extra={"event": "tracing_refused"},
        )
        return None
    return Tracing([found[name].load()() for name in names], describe, worker)


def _installed_name(name: str, environment: Mapping[str, str]) -> str:
    """Without a protocol OTLP goes over HTTP, as the specification says."""
    if name.strip() != "otlp":
        return name.strip()
    protocol = next((environment[each] for each in _PROTOCOLS if environment.get(each)), "http/protobuf")
    return _BY_PROTOCOL.get(protocol, f"otlp over {protocol}")


class Tracing:
    """Makes spans of requests."""

    def __init__(self, exporters: Sequence[Any], describe: Describe, worker: str = "1") -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        ours = Resource.create({"service.name": "mlplatform-serving", "service.instance.id": worker})
        # Sampler, limits, resource and the processor's queue follow the standard variables as well.
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mlplatform.serving")
        self._describe = describe

    def begin(self, scope: Scope, route: str) -> "RequestSpan":
        """The span of a request that begins now, below the one that its `traceparent` names."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        attributes = {"http.request.method": scope["method"], "http.route": route, "url.scheme": scope["scheme"]}
        name = f"{scope['method']} {route}"
        span = self._tracer.start_span(name, extract(sent), SpanKind.SERVER, attributes)
        return RequestSpan(self._tracer, span, self._describe)

    def flush(self) -> None:
        """Send what waits, before the process is stopped. Blocking, as `close`."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what waits. Blocking, for as long as OTEL_BSP_EXPORT_TIMEOUT allows."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request."""

    def __init__(self, tracer: Any, span: Any, describe: Describe) -> None:
        self._tracer = tracer
        self._span = span
        self._describe = describe

    def end(self, status: int, laps: Sequence[Lap], ended: float, request_id: str | None) -> None:
        """`ended`: by `perf_counter`, as the laps are."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        span = self._span
        if not span.is_recording():
            return
        # What must be added to a time of `perf_counter` to have one of the calendar.
        offset = time.time_ns() - int(time.perf_counter() * 1e9)
        context = set_span_in_context(span)
        for stage, began, over in laps:
            part = self._tracer.start_span(stage, context, start_time=int(began * 1e9) + offset)
            part.end(int(over * 1e9) + offset)
        span.set_attributes({f"mlplatform.{name}": value for name, value in self._describe().items()})
        span.set_attribute("http.response.status_code", status)
        if request_id:
            span.set_attribute("mlplatform.request_id", request_id)
        if status >= _FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end(int(ended * 1e9) + offset)
