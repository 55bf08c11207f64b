"""The one Bento service. It serves the bundle that lies in its own bento, or what the pointer names, if there is one.

BentoML gives packaging, workers, probes and limits; the app of `app.py` is mounted, because `@bentoml.api`
costs about four times as much per request (design.md, section 8). Only BentoML imports this module.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import bentoml
from bentoml.images import Image

from mlplatform.serving.bento_api import answer_rows
from mlplatform.serving.front import Front
from mlplatform.serving.guard import Guard
from mlplatform.serving.own_bundle import BUNDLE, own_tag
from mlplatform.serving.pins import pinned_requirements
from mlplatform.serving.runtime import (
    HASH_KEY_VARIABLE,
    JOURNAL_VARIABLE,
    LAKE_VARIABLE,
    POINTER_VARIABLE,
    Runtime,
)
from mlplatform.serving.slow_clients import limit_connections
from mlplatform.serving.supervised import end_with_supervisor
from mlplatform.serving.watch import Watch
from mlplatform.serving.workers import Workers, shared_folder, worker_count

__all__ = [
    "BUNDLE",
    "ENVIRONMENT",
    "HASH_KEY_VARIABLE",
    "JOURNAL_VARIABLE",
    "LAKE_VARIABLE",
    "POINTER_VARIABLE",
    "Scoring",
    "own_tag",
]

ENVIRONMENT: Mapping[str, str] = {
    "BENTOML_DO_NOT_TRACK": "True",
}

worker = str(bentoml.server_context.worker_index or 1)
runtime = Runtime.of(os.environ, worker)
workers = Workers(shared_folder, worker, runtime.metrics.families)


@bentoml.service(
    image=Image(lock_python_packages=False).python_packages(*pinned_requirements()),
    envs=[{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
    # BentoML's default is 0.0.0.0.
    http={"host": "127.0.0.1"},
    # BentoML's layers for these cost more than the prediction; `Watch` counts, logs and traces for a hundredth.
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": ".*"},
    traffic={"timeout": 30},
    workers=worker_count(os.environ),
)
@bentoml.asgi_app(runtime.app(others=workers))
class Scoring:
    """POST /predict with features, get score, decision and reasons."""

    def __init__(self) -> None:
        limit_connections(runtime.security.protection, runtime.security.refused)
        runtime.load()
        self._following: list[asyncio.Task[None]] = []

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def follow(self) -> None:
        """Begin to poll."""
        self._following = runtime.follow(workers.run(), end_with_supervisor(os.getppid()))

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def unfollow(self) -> None:
        """End polling; write what the journals still hold."""
        await runtime.close(self._following)

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict_rows(self, rows: list[dict[str, Any]], explain: bool = False) -> dict[str, Any]:
        """Rows in, predictions out: `SyncHTTPClient(url).predict_rows(rows=[...])`.

        Over HTTP `Front` answers this path, alike, before BentoML does; from this declaration its clients know of it.
        """
        return await answer_rows(runtime.endpoints["/predict"], rows, explain)

    def __is_ready__(self) -> bool:
        return runtime.slot.live is not None


# The decorator turns the class into a bentoml Service, which type checkers cannot see. The first is the
# outermost: what the guard refuses is counted, too.
Scoring.add_asgi_middleware(Watch, observer=runtime.observer)  # type: ignore[attr-defined]
Scoring.add_asgi_middleware(Guard, security=runtime.security)  # type: ignore[attr-defined]
Scoring.add_asgi_middleware(  # type: ignore[attr-defined]
    Front, endpoints=runtime.endpoints, slot=runtime.slot, trial=runtime.trial, raw=runtime.raw
)
