"""What a running service tries beside its champion, what came of it, and the promise that the champion never waits."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

from mlplatform.serving.answering import answered_without_asking
from mlplatform.serving.aside import Aside
from mlplatform.serving.challenger import Challenger
from mlplatform.serving.journal import Entry, Journal
from mlplatform.serving.request import Parsed
from mlplatform.serving.scoring import Answered, Live

__all__ = ["CANARY", "SHADOW", "Challenge", "Counts", "Trial"]

logger = logging.getLogger(__name__)

SHADOW, CANARY = "shadow", "challenger"
"""Roles in the journal."""
SHADOW_ROWS = 2000
"""Rows that wait for a shadow; more are dropped and counted."""
CANARY_REQUESTS = 16
PATIENCE_SECONDS = 1.0
"""A canary that has not answered by then has failed on the request."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Challenge:
    """One challenger, loaded, with a thread of its own: one that hangs keeps nobody else waiting, also not the next."""

    named: Challenger
    live: Live
    aside: Aside

    @classmethod
    def of(cls, named: Challenger, live: Live) -> "Challenge":
        """Nothing runs yet."""
        return cls(named, live, Aside(SHADOW_ROWS if named.mode == "shadow" else CANARY_REQUESTS))

    def describe(self) -> dict[str, Any]:
        """For readiness."""
        told = self.named
        return {"version": told.version, "bento": told.bento, "mode": told.mode, "share": told.share}


@dataclass
class Counts:
    """Predictions of a shadow, requests of a canary, since the service started."""

    answered: int = 0
    """Requests that a canary answered, wholly or in part."""
    shadowed: int = 0
    """Predictions that a shadow made."""
    dropped: int = 0
    """Predictions that a shadow was too far behind for."""
    failed: int = 0
    """Requests that a challenger could not answer, or not in time; the champion did."""


@dataclass
class Trial:
    """The one place that knows of a challenger. `challenge` is replaced as a whole, like the slot's model."""

    journal: Journal | None = None
    """Of the shadow: its thread writes to one of its own, so that it can never fill the champion's queue."""
    patience_seconds: float = PATIENCE_SECONDS
    challenge: Challenge | None = None
    problem: str | None = None
    """Why the challenger that is named does not run."""
    counts: Counts = field(default_factory=Counts)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, challenge: Challenge) -> None:
        """From the next request on, this one is tried."""
        self._replace(challenge, None)

    def refuse(self, problem: str) -> None:
        """Nobody is tried, and this is why."""
        self._replace(None, problem)

    def end(self) -> None:
        """Nobody is tried."""
        self._replace(None, None)

    def close(self) -> None:
        """Let the shadow finish what it has, for a moment, and write it."""
        if self.challenge:
            self.challenge.aside.close()
        if self.journal:
            self.journal.close()

    def describe(self) -> dict[str, Any] | None:
        """For readiness; None if there is nothing to tell."""
        if self.challenge is None and self.problem is None:
            return None
        return {**(self.challenge.describe() if self.challenge else {}), "problem": self.problem}

    def active(self, live: Live) -> Challenge | None:
        """The challenger, if it is another version than what is live: who became champion challenges no more."""
        challenge = self.challenge
        return challenge if challenge and challenge.live.bundle.version != live.bundle.version else None

    async def ask(self, challenge: Challenge, work: Callable[[], Result]) -> Result | None:
        """What a canary says, beside the event loop; None if it failed or took too long, which is counted."""
        copied = copy_context()
        # In the request's context, so that what it takes is told of as the request's.
        began = challenge.aside.take(1, lambda: copied.run(work))
        if began is None:
            self._count(failed=1)
            return None
        try:
            said = await asyncio.wait_for(asyncio.wrap_future(began), self.patience_seconds)
        except TimeoutError:
            logger.warning("%s gave no answer in %s s", challenge.named.bento, self.patience_seconds)
        except Exception as error:  # whatever it is, the champion answers
            self._tell(challenge, error)
        else:
            self._count(answered=1)
            return said
        self._count(failed=1)
        return None

    def shadow(self, challenge: Challenge, request: Parsed, rows: int, identity: str, spent_ms: float) -> None:
        """Score a request that has been answered; `rows`: predictions that it got.

        `spent_ms`: what the request took beside scoring. It is added to what the shadow takes, so that the journalled
        latency is the one that the request would have had.
        """
        work = lambda: self._score_and_remember(challenge, request, identity, spent_ms)  # noqa: E731
        if challenge.aside.take(rows, work) is None:
            self._count(dropped=rows)

    def _score_and_remember(self, challenge: Challenge, request: Parsed, identity: str, spent_ms: float) -> None:
        started = perf_counter()
        try:
            said = answered_without_asking(challenge.live, request)
        except Exception as error:  # it has answered nobody, so nobody is told but the log
            self._tell(challenge, error)
            self._count(failed=1)
            return
        milliseconds = spent_ms + 1000 * (perf_counter() - started)
        self._count(shadowed=len(said.answers))
        self._remember(challenge.live, said, identity, milliseconds)

    def _remember(self, live: Live, said: Answered, identity: str, milliseconds: float) -> None:
        settings = live.bundle.journal
        if self.journal is None or not settings.enabled:
            return
        entry = Entry(
            settings, identity, live.describe(), said.about, said.features, said.answers, milliseconds, SHADOW
        )
        # The thread of the challenger before may be at its last request.
        with self._lock:
            self.journal.put(entry)

    def _replace(self, challenge: Challenge | None, problem: str | None) -> None:
        before, self.challenge, self.problem = self.challenge, challenge, problem
        if before and before is not challenge:
            before.aside.close(timeout_seconds=0)

    def _count(self, answered: int = 0, shadowed: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """From two threads."""
        with self._lock:
            self.counts.answered += answered
            self.counts.shadowed += shadowed
            self.counts.dropped += dropped
            self.counts.failed += failed

    def _tell(self, challenge: Challenge, error: Exception) -> None:
        """The first one whole: a challenger that fails on each request must not fill the disk."""
        if not self.counts.failed:
            logger.error("%s failed on a request (later ones are only counted)", challenge.named.bento, exc_info=error)
