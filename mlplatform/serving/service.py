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
from mlplatform.serving.challenger import challenger_file
from mlplatform.serving.follow import FileFollower, Follower, load_live
from mlplatform.serving.follow_challenger import ChallengerFollower
from mlplatform.serving.guard import TRUSTED, Guard
from mlplatform.serving.journal import journal_of
from mlplatform.serving.pins import pinned_requirements
from mlplatform.serving.scoring import Slot
from mlplatform.serving.security import Security
from mlplatform.serving.slow_clients import limit_headers
from mlplatform.serving.trial import Trial, challenger_metrics

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

security = Security.of()
slot = Slot()
journal = journal_of(os.environ.get(JOURNAL_VARIABLE), os.environ.get(HASH_KEY_VARIABLE))
trial = Trial(journal_of(os.environ.get(JOURNAL_VARIABLE), os.environ.get(HASH_KEY_VARIABLE)))


class ReadinessBody:
    """Answers /readyz with the live model; BentoML's own route, which would win over the mounted app, is empty."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on."""
        if scope["type"] == "http" and scope["path"] == "/readyz":
            await readiness(slot, trial, detailed=scope.get(TRUSTED, True))(scope, receive, send)
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
@bentoml.asgi_app(create_app(slot, journal=journal, trial=trial))
class Scoring:
    """POST /predict with features, get score, decision and reasons."""

    def __init__(self) -> None:
        _hide_scikit_learn()
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
        """Begin to poll keys and the pointer, if there are such."""
        followers = [*security.followers(), *self._followers]
        self._following = [asyncio.create_task(follower.run()) for follower in followers]

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

    def __is_ready__(self) -> bool:
        return slot.live is not None

    def __metrics__(self, text: str) -> str:
        """BentoML's metrics and which model is live (a gauge that is always 1, as Prometheus names versions)."""
        text += security.metrics()
        if slot.live is None:
            return text
        labels = ",".join(f'{name}="{value}"' for name, value in slot.live.describe().items())
        degraded = int(slot.problem is not None)
        return (
            f"{text}# HELP mlplatform_model_info The live model.\n# TYPE mlplatform_model_info gauge\n"
            f"mlplatform_model_info{{{labels}}} 1\n"
            f"# HELP mlplatform_deployment_refused 1 while the newest deployment could not be loaded.\n"
            f"# TYPE mlplatform_deployment_refused gauge\nmlplatform_deployment_refused {degraded}\n"
            f"{_journal_metrics()}{challenger_metrics(trial)}"
        )


# The decorator turns the class into a bentoml Service, which type checkers cannot see.
# The guard comes first: it is the outermost.
Scoring.add_asgi_middleware(Guard, security=security)  # type: ignore[attr-defined]
Scoring.add_asgi_middleware(ReadinessBody)  # type: ignore[attr-defined]


def _journal_metrics() -> str:
    journals = [each for each in (journal, trial.journal) if each is not None]
    if not journals:
        return ""
    counters = {name: sum(getattr(each, name) for each in journals) for name in ("written", "dropped", "failed")}
    lines = [
        f"# TYPE mlplatform_journal_{name}_total counter\nmlplatform_journal_{name}_total {count}\n"
        for name, count in counters.items()
    ]
    waiting = sum(each.waiting for each in journals)
    return f"{''.join(lines)}# TYPE mlplatform_journal_waiting gauge\nmlplatform_journal_waiting {waiting}\n"


def _followers(pointer: Path) -> list[FileFollower]:
    """The champion's first: a challenger is held against it."""
    return [Follower(pointer, slot), ChallengerFollower(challenger_file(pointer), slot, trial)]


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
