"""The one Bento service. It serves the bundle that lies in its own bento, or what the pointer names, if there is one.

BentoML gives packaging, workers, probes, metrics and limits; the app of `app.py` is mounted, because `@bentoml.api`
costs about four times as much per request (design.md, section 8). Only BentoML imports this module.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import bentoml
import yaml
from bentoml.images import Image
from starlette.types import ASGIApp, Receive, Scope, Send

from mlplatform.errors import ArtifactError
from mlplatform.serving.app import create_app, readiness
from mlplatform.serving.follow import Follower, load_live
from mlplatform.serving.journal import journal_of
from mlplatform.serving.pins import pinned_requirements
from mlplatform.serving.scoring import Slot

__all__ = ["BUNDLE", "ENVIRONMENT", "HASH_KEY_VARIABLE", "JOURNAL_VARIABLE", "POINTER_VARIABLE", "Scoring", "own_tag"]

logger = logging.getLogger(__name__)

POINTER_VARIABLE = "MLPLATFORM_POINTER"
BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
"""Where the bundle lies in a bento: beside the package."""

ENVIRONMENT: Mapping[str, str] = {
    # Spans that nobody collects cost as much as the rest of a request; set it to "false" to trace.
    "OTEL_SDK_DISABLED": "true",
    "BENTOML_DO_NOT_TRACK": "True",
}

# The SDK's own switch leaves BentoML's middleware at work for each request; an excluded path passes it by.
UNTRACED = {} if os.environ.get("OTEL_SDK_DISABLED", "true").lower() == "false" else {"excluded_urls": ".*"}

JOURNAL_VARIABLE = "MLPLATFORM_JOURNAL"
"""The folder that predictions are journalled to; without it nothing is kept."""
HASH_KEY_VARIABLE = "MLPLATFORM_JOURNAL_KEY"

slot = Slot()
journal = journal_of(os.environ.get(JOURNAL_VARIABLE), os.environ.get(HASH_KEY_VARIABLE))


class ReadinessBody:
    """Answers /readyz with the live model; BentoML's own route, which would win over the mounted app, is empty."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on."""
        if scope["type"] == "http" and scope["path"] == "/readyz":
            await readiness(slot)(scope, receive, send)
            return
        await self._app(scope, receive, send)


@bentoml.service(
    image=Image(lock_python_packages=False).python_packages(*pinned_requirements()),
    envs=[{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
    # BentoML's default is 0.0.0.0.
    http={"host": "127.0.0.1"},
    # One line per request costs more than the prediction; /metrics counts them.
    logging={"access": {"enabled": False}},
    traffic={"timeout": 30},
    tracing=UNTRACED,
)
@bentoml.asgi_app(create_app(slot, journal=journal))
class Scoring:
    """POST /predict with features, get score, decision and reasons."""

    def __init__(self) -> None:
        _hide_scikit_learn()
        pointer = os.environ.get(POINTER_VARIABLE)
        self._follower = Follower(Path(pointer), slot) if pointer else None
        self._following: asyncio.Task[None] | None = None
        if self._follower:
            self._follower.check()
        if slot.live is None:
            _serve_own_bundle(required=self._follower is None)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def follow(self) -> None:
        """Begin to poll, if there is a pointer."""
        if self._follower:
            self._following = asyncio.create_task(self._follower.run())

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def unfollow(self) -> None:
        """End polling; write what the journal still holds."""
        if self._following:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        if journal:
            await asyncio.to_thread(journal.close)

    def __is_ready__(self) -> bool:
        return slot.live is not None

    def __metrics__(self, text: str) -> str:
        """BentoML's metrics and which model is live (a gauge that is always 1, as Prometheus names versions)."""
        if slot.live is None:
            return text
        labels = ",".join(f'{name}="{value}"' for name, value in slot.live.describe().items())
        degraded = int(slot.problem is not None)
        return (
            f"{text}# HELP mlplatform_model_info The live model.\n# TYPE mlplatform_model_info gauge\n"
            f"mlplatform_model_info{{{labels}}} 1\n"
            f"# HELP mlplatform_deployment_refused 1 while the newest deployment could not be loaded.\n"
            f"# TYPE mlplatform_deployment_refused gauge\nmlplatform_deployment_refused {degraded}\n"
            f"{_journal_metrics()}"
        )


# The decorator turns the class into a bentoml Service, which type checkers cannot see.
Scoring.add_asgi_middleware(ReadinessBody)  # type: ignore[attr-defined]


def _journal_metrics() -> str:
    if journal is None:
        return ""
    counters = {"written": journal.written, "dropped": journal.dropped, "failed": journal.failed}
    lines = [
        f"# TYPE mlplatform_journal_{name}_total counter\nmlplatform_journal_{name}_total {count}\n"
        for name, count in counters.items()
    ]
    waiting = f"# TYPE mlplatform_journal_waiting gauge\nmlplatform_journal_waiting {journal.waiting}\n"
    return "".join(lines) + waiting


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
        slot.swap(load_live(BUNDLE, own_tag()))
    except ArtifactError:
        if required:
            raise
        logger.warning("Neither the pointer nor this bento has a bundle that can be served; waiting for the pointer")
    if problem:
        slot.refuse(problem)
