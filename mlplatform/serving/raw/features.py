"""Features of raw events, for the models that a service has live: reads events, keeps the past, batches the queries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.serving.answering import refuse_rows
from mlplatform.serving.presence import watch
from mlplatform.serving.raw.batcher import Batcher, Item, QueueFullError
from mlplatform.serving.request import RefusedError
from mlplatform.serving.rows import MAX_PROBLEMS, Problem
from mlplatform.serving.scoring import Live

if TYPE_CHECKING:
    # At run time only when a model asks for it: DuckDB and Arrow cost memory and time at the start.
    from mlplatform.lake.lake import Lake
    from mlplatform.serving.raw.computing import Computing, Event, Rows
    from mlplatform.serving.raw.history import Past
    from mlplatform.serving.raw.keeper import PastKeeper
    from mlplatform.serving.raw.settings import RawSettings

__all__ = ["RawFeatures"]

_INSTEAD = "POST /predict with features"
_KEPT = 3
"""Models that can be computed for: a request ends with the model that it began with, also beyond two deployments."""


@dataclass(frozen=True)
class _Work:
    computing: Computing
    events: Sequence[Event]
    remember: bool


class RawFeatures:
    """One per service process. `home`: whose lake the past is read from, which need not be there yet; None: no raw
    events can be scored here."""

    def __init__(self, home: Home | None, every_seconds: float = 1.0) -> None:
        self._home = home
        self._every = every_seconds
        self._computing: dict[str, Computing] = {}
        self._newest: Computing | None = None
        self._batcher: Batcher[_Work, list[Rows]] = Batcher(self._compute)

    @property
    def batches(self) -> Batcher[_Work, list[Rows]]:
        """Where events wait for each other."""
        return self._batcher

    @property
    def forgotten(self) -> int:
        """Events that had to make room before the lake knew them."""
        seen = self._newest.seen if self._newest else None
        return seen.dropped if seen else 0

    def adopt(self, live: Live) -> None:
        """Get ready for a model that is about to go live. Blocking.

        A lake that cannot be read is no reason to refuse a model: /predict needs none.

        Raises:
            LakeError: the text of the bundle cannot run on what the lake holds.
            ArtifactError: a lake is named, and what reads it is not installed.
        """
        settings = live.bundle.raw
        if settings is None or self._home is None:
            return
        if known := self._computing.get(live.bento):
            # Back to an earlier one: its past is the one to keep fresh, and it may have grown old meanwhile.
            known.keeper.refresh()
            self._keep(live.bento, known)
            return
        try:
            from mlplatform.lake.lake import Lake
        except ImportError as error:
            raise ArtifactError(
                f"this image cannot compute features of raw events ({error}); write it --with score"
            ) from error

        computing = self._made(settings, Lake.at(self._home))
        computing.keeper.refresh()
        if computing.keeper.past is not None:
            computing.warm_up(computing.keeper.past)
        self._keep(live.bento, computing)

    def _keep(self, bento: str, computing: Computing) -> None:
        self._newest = computing
        others = [(tag, made) for tag, made in self._computing.items() if tag != bento]
        self._computing = dict([*others, (bento, computing)][-_KEPT:])

    def can_score(self, live: Live) -> bool:
        """Whether events can be scored here at all; not whether the history is loaded now."""
        return live.bundle.raw is not None and self._home is not None

    async def compute(self, live: Live, rows: Sequence[Any], *, remember: bool) -> list[Rows]:
        """The features of each event of a request.

        `remember`: the events have happened, and later requests see them.

        Raises:
            RefusedError: with what is wrong with the events, or why none can be scored now.
            GoneError: the client did not wait for its turn.
        """
        computing = self._computing.get(live.bento)
        if not self.can_score(live):
            raise _never(live)
        if computing is None or computing.keeper.past is None:
            # Why not, with the paths of this machine, is in the log and for known callers in /readyz.
            raise RefusedError(503, f"the history that features are made of is not loaded; {_INSTEAD} meanwhile")
        events, problems = computing.reader.read(rows)
        query = computing.settings.query
        if problems := problems or _repeated(events, query.key):
            raise refuse_rows(problems, "events")
        if old := _too_old(events, query.time, computing.keeper.past):
            # Not the contract's word: the same event would have been taken earlier.
            raise refuse_rows(old, "events", 409)
        alone, work = (
            self._alone(computing, computing.keeper.past, events, remember),
            _Work(computing, events, remember),
        )
        try:
            together = (id(computing), remember)
            return await self._batcher.submit(Item(work, len(events), together, alone, watch()))
        except QueueFullError:
            raise RefusedError(503, "too many events wait to be scored; try again in a second") from None

    async def run(self) -> None:
        """Follow the lake until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            if self.keeper is not None:
                await asyncio.to_thread(self.keeper.refresh)

    @property
    def keeper(self) -> PastKeeper | None:
        """Who keeps the past for the newest model; None before the first."""
        return self._newest.keeper if self._newest else None

    def describe(self) -> dict[str, Any] | None:
        """What is known of the past, for readiness; None where nobody asks by raw events."""
        keeper = self.keeper
        if keeper is None:
            return None
        past = keeper.past
        return {
            "snapshot": keeper.snapshot,
            "rows": past.size if past else 0,
            "newest": past.newest.isoformat() if past and past.newest else None,
            "seen": len(self._newest.seen) if self._newest and self._newest.seen else 0,
            "waiting": self._batcher.waiting,
            "problem": keeper.problem,
        }

    def _made(self, settings: RawSettings, lake: Lake) -> Computing:
        """The keeper of the model before, and what it has seen, serve on if the new one looks back on the same."""
        from mlplatform.serving.raw.computing import Computing
        from mlplatform.serving.raw.keeper import PastKeeper
        from mlplatform.serving.raw.seen import Seen

        before, query = self._newest, settings.query
        same = before is not None and before.settings.query.history == query.history
        if before and same:
            return Computing.of(settings, before.keeper, before.seen)
        happened = next((t for t in query.history if t.table == settings.asked_by.happened), None)
        return Computing.of(settings, PastKeeper(lake, query), Seen(query.key, happened.entities) if happened else None)

    def _alone(self, computing: Computing, past: Past, events: Sequence[Event], remember: bool) -> frozenset[Any]:
        """What no other request of the same query may share: an event's key and, of questions, its entities.

        Texts may take each row of the spine for something that happened; what did not may be seen by nobody else.
        """
        query = computing.settings.query
        keys = frozenset(event[query.key] if query.key in event else tuple(event.values()) for event in events)
        if remember:
            return keys
        entities = {name for table in query.history for name in table.entities}
        # One that stands in the place of a row of the lake takes that away from its entities, too.
        happened = computing.happened(past) if query.key in events[0] else None
        rows = [happened.row_of(event[query.key]) or {} for event in events] if happened else []
        return keys | {(name, row.get(name)) for name in entities for row in (*events, *rows) if name in row}

    def _compute(self, batch: Sequence[_Work]) -> list[list[Rows]]:
        """On the one thread of the batcher, which alone uses the engines and what was seen."""
        computing = batch[0].computing
        past = computing.keeper.past
        assert past is not None
        self._settle(computing, past)
        happened = [event for work in batch if work.remember for event in work.events]
        rows = computing.run([event for work in batch for event in work.events], past, happened)
        results, start = [], 0
        for work in batch:
            results.append(rows[start : start + len(work.events)])
            start += len(work.events)
            if computing.seen is not None and work.remember:
                # What nothing could be made of is refused, and has not happened.
                made = [event for event, features in zip(work.events, results[-1], strict=True) if features]
                computing.seen.add(made, computing.happened(past))
        return results

    def _settle(self, computing: Computing, past: Past) -> None:
        """Once for each newer past: what it holds need not be remembered."""
        history = computing.happened(past)
        if computing.seen is None or history is None:
            return
        lookback = timedelta(days=history.declared.lookback_days)
        computing.seen.settle(history, past.newest - lookback if past.newest else None)


def _never(live: Live) -> RefusedError:
    """For whom it makes no sense to come again: 503 would say so."""
    if live.bundle.raw is None:
        return RefusedError(404, f"{live.bundle.use_case} is asked by features: POST /predict")
    return RefusedError(404, f"this service was started without a lake, so it knows no history; {_INSTEAD}")


def _too_old(events: Sequence[Event], time: str, past: Past) -> list[Problem]:
    """Features of these would be made of a part of their past, and look like others."""
    since = past.complete_from
    if since is None:
        return []
    old = [number for number, event in enumerate(events) if time in event and event[time] < since]
    allowed = f"from {since.isoformat()} on; POST /predict with features of what is older"
    return [Problem(number, time, "is older than the history here", allowed) for number in old[:MAX_PROBLEMS]]


def _repeated(events: Sequence[Event], key: str) -> list[Problem]:
    """Keys that come twice in one request, where events have keys."""
    keys = [event[key] for event in events if key in event]
    again = (
        [number for number, value in enumerate(keys) if value in keys[:number]] if len(set(keys)) < len(keys) else []
    )
    return [Problem(number, key, "came before in this request", "each event once") for number in again[:MAX_PROBLEMS]]
