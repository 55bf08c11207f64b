"""The ASGI app that is mounted in the Bento service: /predict, /predict_rows, /score, readiness, OpenAPI and a page."""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mlplatform.serving.answering import INLINE_ROWS
from mlplatform.serving.csp import page_policy
from mlplatform.serving.endpoint import Predict, PredictRows
from mlplatform.serving.guard import TRUSTED
from mlplatform.serving.inference_v2 import inference_routes
from mlplatform.serving.journal import Journal
from mlplatform.serving.metrics import WorkerMetrics, metrics_route
from mlplatform.serving.openapi.document import document
from mlplatform.serving.page import page_routes, render
from mlplatform.serving.raw.endpoint import Score
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.request import Limits
from mlplatform.serving.scoring import Slot
from mlplatform.serving.trial import Trial
from mlplatform.serving.watch import Observer, Watch

__all__ = ["INLINE_ROWS", "alive", "create_app", "create_endpoints", "readiness"]


def create_endpoints(
    slot: Slot,
    limits: Limits | None = None,
    journal: Journal | None = None,
    trial: Trial | None = None,
    raw: RawFeatures | None = None,
) -> dict[str, Predict]:
    """What scores, by path, over a slot; whatever the slot holds when a request begins answers it.

    `journal` keeps the answers; `trial`: the challenger beside it, if there is one; `raw`: computes features of events.
    """
    trial, raw = trial or Trial(), raw or RawFeatures(None)
    return {
        "/predict": Predict(slot, limits, journal, trial),
        "/predict_rows": PredictRows(slot, limits, journal, trial),
        "/score": Score(slot, limits, journal, trial, raw),
    }


def create_app(
    slot: Slot,
    limits: Limits | None = None,
    journal: Journal | None = None,
    trial: Trial | None = None,
    raw: RawFeatures | None = None,
    endpoints: Mapping[str, Predict] | None = None,
    observer: Observer | None = None,
    metrics: Any = None,
) -> Starlette:
    """The app over a slot: what scores, and what tells of it. `endpoints`: those that are there already.

    `observer`: what is kept of the requests; `metrics`: the endpoint of /metrics, where it is more than this process's.

    `limits`: instead of those of the bundle.
    """
    trial, raw, observer = trial or Trial(), raw or RawFeatures(None), observer or Observer()
    endpoints = endpoints or create_endpoints(slot, limits, journal, trial, raw)
    metrics = metrics or metrics_route(WorkerMetrics(observer.traffic, slot, journal, trial, raw))

    async def ready(request: Request) -> Response:
        return readiness(slot, trial, raw, request.scope.get(TRUSTED, True))

    async def openapi(_: Request) -> Response:
        if slot.live is None:
            return readiness(slot, trial, raw)
        history = raw.describe() or {}
        return JSONResponse(document(slot.live, history.get("newest"), events=raw.can_score(slot.live)))

    async def page(_: Request) -> Response:
        if slot.live is None:
            return readiness(slot, trial, raw)
        html = render(slot.live)
        return HTMLResponse(html, headers={"content-security-policy": page_policy(html)})

    async def lives(_: Request) -> Response:
        return alive()

    return Starlette(
        routes=[
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()),
            Route("/", page),
            *page_routes(slot),
            Route("/openapi.json", openapi),
            # Where BentoML's own tools look for it.
            Route("/docs.json", openapi),
            Route("/livez", lives),
            Route("/healthz", lives),
            Route("/readyz", ready),
            Route("/metrics", metrics),
            *inference_routes(slot, endpoints["/predict"]),
        ],
        middleware=[Middleware(Watch, observer=observer)],
    )


def alive() -> Response:
    """The process answers."""
    return JSONResponse({"status": "alive"})


def readiness(
    slot: Slot, trial: Trial | None = None, raw: RawFeatures | None = None, detailed: bool = True
) -> Response:
    """200 with the live model, 503 if there is none; a refused newer deployment shows as `problem`.

    Not `detailed`: the status only, for whom nobody knows.

    A challenger and the history of raw events are told of, and change nothing: a service is not ready by them.
    """
    live = slot.live
    status = "starting" if live is None else "degraded" if slot.problem else "ready"
    if not detailed:
        return JSONResponse({"status": status}, 200 if live else 503)
    content: dict[str, Any] = {"status": status, "model": live.describe() if live else None, "problem": slot.problem}
    if trial and (challenger := trial.describe()):
        content["challenger"] = challenger
    if raw and (history := raw.describe()):
        content["history"] = history
    return JSONResponse(content, 200 if live else 503)
