"""The one Bento service. It serves the bundle that lies in its own bento, or what the pointer names, if there is one.

BentoML gives packaging, workers, probes and limits; the app of `app.py` is mounted, because `@bentoml.api`
costs about four times as much per request (design.md, section 8). Only BentoML imports this module.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bentoml
import yaml
from bentoml.images import Image
from starlette.types import ASGIApp, Receive, Scope, Send

from mlplatform.errors import ArtifactError, PlatformError
from mlplatform.home import Home
from mlplatform.serving.app import alive, create_app, create_endpoints, readiness
from mlplatform.serving.bento_api import answer_rows
from mlplatform.serving.bounded import Bounded
from mlplatform.serving.challenger import challenger_file
from mlplatform.serving.follow import FileFollower, Follower, load_live
from mlplatform.serving.follow_challenger import ChallengerFollower
from mlplatform.serving.guard import TRUSTED, Guard
from mlplatform.serving.journal import journal_of
from mlplatform.serving.logs import LogSettings, configure_logs
from mlplatform.serving.metrics import WorkerMetrics, metrics_route
from mlplatform.serving.pins import pinned_requirements
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.request import Limits
from mlplatform.serving.scoring import Slot
from mlplatform.serving.security import Security
from mlplatform.serving.slow_clients import limit_headers
from mlplatform.serving.tracing import tracing_of
from mlplatform.serving.trial import Trial
from mlplatform.serving.watch import Observer, Watch
from mlplatform.serving.workers import Workers, shared_folder

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

logger = logging.getLogger(__name__)

POINTER_VARIABLE = "MLPLATFORM_POINTER"
BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
"""Where the bundle lies in a bento: beside the package."""

ENVIRONMENT: Mapping[str, str] = {
    "BENTOML_DO_NOT_TRACK": "True",
}

JOURNAL_VARIABLE = "MLPLATFORM_JOURNAL"
"""The folder that predictions are journalled to; without it nothing is kept."""
HASH_KEY_VARIABLE = "MLPLATFORM_JOURNAL_KEY"

LAKE_VARIABLE = "MLPLATFORM_LAKE"
"""The home folder whose lake holds the history for /score; without it only features can be sent."""

security = Security.of()
slot = Slot()
raw = RawFeatures(Home(Path(os.environ[LAKE_VARIABLE])) if os.environ.get(LAKE_VARIABLE) else None)
journal = journal_of(os.environ.get(JOURNAL_VARIABLE), os.environ.get(HASH_KEY_VARIABLE))
trial = Trial(journal_of(os.environ.get(JOURNAL_VARIABLE), os.environ.get(HASH_KEY_VARIABLE)))
endpoints = create_endpoints(slot, journal=journal, trial=trial, raw=raw)
PROBES = ("/livez", "/healthz", "/readyz")
worker = str(bentoml.server_context.worker_index or 1)
observer = Observer(log=LogSettings.of(os.environ))
metrics = WorkerMetrics(observer.traffic, slot, journal, trial, raw, worker, security.refused)
workers = Workers(shared_folder, worker, metrics.families)


class Front:
    """Answers what BentoML's layers would slow down by a third, and the probes: BentoML's own, which would win over the
    mounted app's, are empty."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bounded = Bounded(app, Limits())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on."""
        if scope["type"] == "http":
            path = scope["path"]
            if scope["method"] == "POST" and (endpoint := endpoints.get(path)):
                await endpoint(scope, receive, send)
                return
            if path in PROBES and scope["method"] in ("GET", "HEAD"):
                answer = readiness(slot, trial, raw, scope.get(TRUSTED, True)) if path == "/readyz" else alive()
                await answer(scope, receive, send)
                return
            if path == "/predict_rows":
                await self._bounded(scope, receive, send)
                return
        await self._app(scope, receive, send)


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
)
@bentoml.asgi_app(
    create_app(
        slot, trial=trial, raw=raw, endpoints=endpoints, observer=observer, metrics=metrics_route(metrics, workers)
    )
)
class Scoring:
    """POST /predict with features, get score, decision and reasons."""

    def __init__(self) -> None:
        _hide_scikit_learn()
        configure_logs(observer.log, worker)
        observer.tracing = tracing_of(os.environ, lambda: slot.live.describe() if slot.live else {}, worker)
        limit_headers(security.protection.header_seconds)
        for follower in security.followers():
            follower.check()
        pointer = os.environ.get(POINTER_VARIABLE)
        self._followers: list[FileFollower] = _followers(Path(pointer)) if pointer else []
        self._following: list[asyncio.Task[None]] = []
        for follower in self._followers:
            follower.check()
        if slot.live is None:
            _serve_own_bundle(required=not self._followers)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def follow(self) -> None:
        """Begin to poll."""
        followers = [follower.run() for follower in (*security.followers(), *self._followers)]
        self._following = [asyncio.create_task(run) for run in (*followers, raw.run(), workers.run())]
        told = slot.live.describe() if slot.live else {}
        logger.info("Service started", extra={"event": "service_started", "traced": bool(observer.tracing), **told})

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def unfollow(self) -> None:
        """End polling; write what the journals still hold."""
        for following in self._following:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
        await asyncio.to_thread(trial.close)
        if journal:
            await asyncio.to_thread(journal.close)
        if observer.tracing:
            await asyncio.to_thread(observer.tracing.close)

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict_rows(
        self, rows: list[dict[str, Any]], explain: bool = False, ctx: bentoml.Context = None
    ) -> dict[str, Any]:
        """POST /predict for BentoML's own clients: `SyncHTTPClient(url).predict_rows(rows=[...])`."""
        return await answer_rows(endpoints["/predict"], rows, explain, ctx.response)

    def __is_ready__(self) -> bool:
        return slot.live is not None


# The decorator turns the class into a bentoml Service, which type checkers cannot see. The first is the
# outermost: what the guard refuses is counted, too.
Scoring.add_asgi_middleware(Watch, observer=observer)  # type: ignore[attr-defined]
Scoring.add_asgi_middleware(Guard, security=security)  # type: ignore[attr-defined]
Scoring.add_asgi_middleware(Front)  # type: ignore[attr-defined]


def _followers(pointer: Path) -> list[FileFollower]:
    """The champion's first: a challenger is held against it."""
    return [Follower(pointer, slot, raw), ChallengerFollower(challenger_file(pointer), slot, trial)]


def _hide_scikit_learn() -> None:
    """LightGBM imports it if it is installed, for wrappers that are unused here: a third of the start (4.3 s for 6.5).

    Only a worker comes here; a process that has it loaded already keeps it.
    """
    sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]


def own_tag() -> str:
    """The tag of the bento that this file lies in, from the bento.yaml that BentoML wrote at its root.

    Raises ArtifactError if this is not the copy of a bento.
    """
    path = BUNDLE.parents[1] / "bento.yaml"
    try:
        written = yaml.safe_load(path.read_bytes())
        return f"{written['name']}:{written['version']}"
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not the description of a bento ({error}); serve one by its tag") from error


def _serve_own_bundle(required: bool) -> None:
    """The bundle of this bento: what `bentoml serve <tag>` by hand serves, and the fallback beside a pointer."""
    problem = slot.problem
    try:
        live = load_live(BUNDLE, own_tag())
        raw.adopt(live)
        slot.swap(live)
    except PlatformError:
        if required:
            raise
        logger.warning("Neither the pointer nor this bento has a bundle that can be served; waiting for the pointer")
    if problem:
        slot.refuse(problem)
