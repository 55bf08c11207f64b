"""Everything that one process of a service holds, whoever runs it: BentoML, uvicorn alone, or a host of functions.

It serves a bundle of its own, or what the pointer names, if there is one.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp

from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.app import create_app, create_endpoints
from mlplatform.serving.challenger import challenger_file
from mlplatform.serving.endpoint import Predict
from mlplatform.serving.follow import FileFollower, Follower, load_live
from mlplatform.serving.follow_challenger import ChallengerFollower
from mlplatform.serving.front import Front
from mlplatform.serving.guard import Guard
from mlplatform.serving.journal import Journal, journal_of
from mlplatform.serving.logs import LogSettings, configure_logs
from mlplatform.serving.metrics import Others, WorkerMetrics, metrics_route
from mlplatform.serving.own_bundle import BUNDLE, own_tag
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.scoring import Slot
from mlplatform.serving.security import Security
from mlplatform.serving.served import StateFile
from mlplatform.serving.tracing import tracing_of
from mlplatform.serving.trial import Trial
from mlplatform.serving.watch import Observer, Watch

__all__ = ["HASH_KEY_VARIABLE", "JOURNAL_VARIABLE", "LAKE_VARIABLE", "POINTER_VARIABLE", "Runtime"]

logger = logging.getLogger(__name__)

POINTER_VARIABLE = "MLPLATFORM_POINTER"
JOURNAL_VARIABLE = "MLPLATFORM_JOURNAL"
"""The folder that predictions are journalled to; without it nothing is kept."""
HASH_KEY_VARIABLE = "MLPLATFORM_JOURNAL_KEY"
LAKE_VARIABLE = "MLPLATFORM_LAKE"
"""The home folder whose lake holds the history for /score; without it only features can be sent."""


@dataclass(frozen=True)
class Runtime:
    """Made when a service is imported: nothing is read or started before `load`."""

    environment: Mapping[str, str]
    security: Security
    slot: Slot
    raw: RawFeatures
    journal: Journal | None
    trial: Trial
    endpoints: Mapping[str, Predict]
    observer: Observer
    metrics: WorkerMetrics
    bundle: Path = BUNDLE

    @classmethod
    def of(
        cls, environment: Mapping[str, str], worker: str = "1", bundle: Path = BUNDLE, *, threaded: bool = True
    ) -> "Runtime":
        """As the environment says. `threaded`: whether the journal writes by itself, or when it is told to.

        Raises SecurityError or ArtifactError where a variable holds something else than it may.
        """
        folder, key = environment.get(JOURNAL_VARIABLE), environment.get(HASH_KEY_VARIABLE)
        security, slot = Security.of(environment), Slot()
        home = environment.get(LAKE_VARIABLE)
        raw = RawFeatures(Home(Path(home)) if home else None)
        journal, trial = journal_of(folder, key, threaded=threaded), Trial(journal_of(folder, key, threaded=threaded))
        endpoints = create_endpoints(slot, journal=journal, trial=trial, raw=raw)
        observer = Observer(log=LogSettings.of(environment))
        metrics = WorkerMetrics(observer.traffic, slot, journal, trial, raw, worker, security.refused)
        return cls(environment, security, slot, raw, journal, trial, endpoints, observer, metrics, bundle)

    def app(self, others: Others | None = None) -> Starlette:
        """All routes, without the layers around them. `others`: where there may be more workers."""
        return create_app(
            self.slot,
            trial=self.trial,
            raw=self.raw,
            endpoints=self.endpoints,
            observer=self.observer,
            metrics=metrics_route(self.metrics, others),
        )

    def guarded(self) -> ASGIApp:
        """The same, as it may be listened with. Outermost the watch: what the guard refuses is counted, too."""
        front = Front(self.app(), self.endpoints, self.slot, self.trial, self.raw)
        return Watch(Guard(front, self.security), self.observer)

    def load(self) -> None:
        """Get ready to answer, in the process that will. Blocking.

        Raises SecurityError, or ArtifactError where there is neither a pointer nor a bundle that can be served.
        """
        configure_logs(self.observer.log, self.metrics.worker)
        self.observer.tracing = tracing_of(self.environment, self._told, self.metrics.worker)
        for follower in (*self.security.followers(), *self._followers):
            follower.check()
        if self.slot.live is None:
            self._serve_own_bundle(required=not self._followers)

    def follow(self, *beside: Coroutine[Any, Any, None]) -> list["asyncio.Task[None]"]:
        """Begin to poll. `beside`: what else runs for as long."""
        runs = [follower.run() for follower in (*self.security.followers(), *self._followers)]
        if self._state_file:
            runs.append(self._state_file.run())
        following = [asyncio.create_task(run) for run in (*runs, self.raw.run(), *beside)]
        facts = {"event": "service_started", "traced": bool(self.observer.tracing), **self._told()}
        logger.info("Service started", extra=facts)
        return following

    async def close(self, following: "list[asyncio.Task[None]]") -> None:
        """End polling; write what the journals still hold."""
        for task in following:
            task.cancel()
        for ended in await asyncio.gather(*following, return_exceptions=True):
            # One that died before must not keep the journal from being written.
            if isinstance(ended, Exception):
                logger.error("Something that was polled had died", exc_info=ended)
        await asyncio.to_thread(self.trial.close)
        if self.journal:
            await asyncio.to_thread(self.journal.close)
        if self.observer.tracing:
            await asyncio.to_thread(self.observer.tracing.close)

    @cached_property
    def _followers(self) -> list[FileFollower]:
        """The champion's first: a challenger is held against it."""
        if not (self._pointer and self._champion):
            return []
        return [self._champion, ChallengerFollower(challenger_file(self._pointer), self.slot, self.trial)]

    @cached_property
    def _champion(self) -> Follower | None:
        return Follower(self._pointer, self.slot, self.raw) if self._pointer else None

    @cached_property
    def _state_file(self) -> StateFile | None:
        """Who follows a pointer says what came of it."""
        if not (self._pointer and self._champion):
            return None
        return StateFile(self._pointer, self.slot, self._champion, self.metrics.worker)

    @property
    def _pointer(self) -> Path | None:
        named = self.environment.get(POINTER_VARIABLE)
        return Path(named) if named else None

    def _told(self) -> dict[str, str]:
        return self.slot.live.describe() if self.slot.live else {}

    def _serve_own_bundle(self, required: bool) -> None:
        """What `bentoml serve <tag>` by hand and an image serve, and the fallback beside a pointer."""
        refusal = self.slot.refusal
        try:
            live = load_live(self.bundle, own_tag(self.bundle))
            self.raw.adopt(live)
            self.slot.swap(live)
        except PlatformError:
            if required:
                raise
            logger.warning(
                "Neither the pointer nor this bento has a bundle that can be served; waiting for the pointer"
            )
        if refusal:
            self.slot.refuse(refusal)
