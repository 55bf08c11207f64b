"""Features of raw events, for the models that a service has live: reads events, keeps the past, batches the queries."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.answering import refuse_rows
from mlplatform.serving.column import example_value
from mlplatform.serving.raw.batcher import Batcher, Item, QueueFullError
from mlplatform.serving.raw.engine import FeatureEngine
from mlplatform.serving.raw.events import EventReader
from mlplatform.serving.raw.history import Past
from mlplatform.serving.raw.keeper import PastKeeper
from mlplatform.serving.raw.seen import Seen
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.serving.request import RefusedError
from mlplatform.serving.rows import MAX_PROBLEMS, Problem
from mlplatform.serving.scoring import Live

__all__ = ["RawFeatures", "lake_of"]

Event = Mapping[str, Any]
Rows = list[dict[str, Any]]


def lake_of(home: str | None) -> Lake | None:
    """The lake of a home folder, which need not be there yet; None where none is named."""
    return Lake.at(Home(Path(home))) if home else None


@dataclass(frozen=True)
class _Computing:
    """What computes for one bundle."""

    settings: RawSettings
    reader: EventReader
    engine: FeatureEngine
    keeper: PastKeeper


@dataclass(frozen=True)
class _Work:
    computing: _Computing
    events: Sequence[Event]
    remember: bool


class RawFeatures:
    """One per service process. `lake`: where the past is read from; None: no raw events can be scored here."""

    def __init__(self, lake: Lake | None, every_seconds: float = 1.0) -> None:
        self._lake = lake
        self._every = every_seconds
        self._computing: dict[str, _Computing] = {}
        self._newest: _Computing | None = None
        self._batcher: Batcher[_Work, list[Rows]] = Batcher(self._compute)
        self._seen: Seen | None = None
        self._settled: Past | None = None

    @property
    def batches(self) -> Batcher[_Work, list[Rows]]:
        """Where events wait for each other."""
        return self._batcher

    @property
    def forgotten(self) -> int:
        """Events that had to make room before the lake knew them."""
        return self._seen.dropped if self._seen else 0

    def adopt(self, live: Live) -> None:
        """Get ready for a model that is about to go live. Blocking.

        A lake that cannot be read is no reason to refuse a model: /predict needs none.

        Raises:
            LakeError: the text of the bundle cannot run on what the lake holds.
        """
        settings = live.bundle.raw
        if settings is None or self._lake is None or live.bento in self._computing:
            return
        computing = self._made(settings, self._lake)
        computing.keeper.refresh()
        if computing.keeper.past is not None:
            events, _ = computing.reader.read([{rule.name: example_value(rule) for rule in settings.fields}])
            _run(computing, events, computing.keeper.past, None)
        previous, self._newest = self._newest, computing
        # Requests under way end with the model that they began with.
        kept = {tag: made for tag, made in self._computing.items() if made is previous}
        self._computing = {**kept, live.bento: computing}

    async def compute(self, live: Live, rows: Sequence[Any], *, remember: bool) -> list[Rows]:
        """The features of each event of a request.

        `remember`: the events have happened, and later requests see them.

        Raises:
            RefusedError: with what is wrong with the events, or why none can be scored now.
        """
        computing = self._computing.get(live.bento)
        if live.bundle.raw is None:
            raise RefusedError(404, f"{live.bundle.use_case} is asked by features: POST /predict")
        if computing is None or computing.keeper.past is None:
            raise RefusedError(503, self._why_not(computing))
        events, problems = computing.reader.read(rows)
        query = computing.settings.query
        problems = problems or _repeated(events, query.key) or _too_old(events, query.time, computing.keeper.past)
        if problems:
            raise refuse_rows(problems, "events")
        work = _Work(computing, events, remember)
        try:
            return await self._batcher.submit(Item(work, len(events), id(computing), self._alone(computing, events)))
        except QueueFullError:
            raise RefusedError(503, "too many events wait to be scored; try again in a second") from None

    async def run(self) -> None:
        """Follow the lake until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            if self._newest is not None:
                await asyncio.to_thread(self._newest.keeper.refresh)

    def describe(self) -> dict[str, Any] | None:
        """What is known of the past, for readiness; None where nobody asks by raw events."""
        if self._newest is None:
            return None
        keeper = self._newest.keeper
        past = keeper.past
        return {
            "snapshot": keeper.snapshot,
            "rows": past.size if past else 0,
            "newest": past.newest.isoformat() if past and past.newest else None,
            "seen": len(self._seen) if self._seen else 0,
            "waiting": self._batcher.waiting,
            "problem": keeper.problem,
        }

    def _made(self, settings: RawSettings, lake: Lake) -> _Computing:
        """The keeper of the model before serves on if it looks back on the same."""
        before, query = self._newest, settings.query
        same = before is not None and before.settings.query.history == query.history
        keeper = before.keeper if before and same else PastKeeper(lake, query)
        if not same:
            happened = next((t for t in query.history if t.table == settings.asked_by.happened), None)
            self._seen = Seen(query.key, happened.entities) if happened else None
        return _Computing(settings, EventReader(settings.fields), FeatureEngine(settings), keeper)

    def _why_not(self, computing: _Computing | None) -> str:
        if self._lake is None:
            return "this service was started without a lake, so it knows no history; POST /predict with features"
        problem = computing.keeper.problem if computing else "the model has only just come"
        return f"the history that features are made of is not loaded: {problem}; POST /predict with features meanwhile"

    def _alone(self, computing: _Computing, events: Sequence[Event]) -> frozenset[Any]:
        key = computing.settings.query.key
        return frozenset(event.get(key) or tuple(event.values()) for event in events)

    def _compute(self, batch: Sequence[_Work]) -> list[list[Rows]]:
        """On the one thread of the batcher, which alone uses the engines and what was seen."""
        computing = batch[0].computing
        past = computing.keeper.past
        assert past is not None
        self._settle(computing, past)
        rows = _run(computing, [event for work in batch for event in work.events], past, self._seen)
        results, start = [], 0
        for work in batch:
            results.append(rows[start : start + len(work.events)])
            start += len(work.events)
        if self._seen is not None:
            self._seen.add(event for work in batch if work.remember for event in work.events)
        return results

    def _settle(self, computing: _Computing, past: Past) -> None:
        """Once for each newer past: what it holds need not be remembered."""
        if self._seen is None or self._settled is past:
            return
        history = past.tables[str(computing.settings.asked_by.happened)]
        lookback = timedelta(days=history.declared.lookback_days)
        self._seen.settle(history, past.newest - lookback if past.newest else None)
        self._settled = past


def _run(computing: _Computing, events: Sequence[Event], past: Past, seen: Seen | None) -> list[Rows]:
    """Features of each event, given the past of its entities and what was `seen` since."""
    happened, time = computing.settings.asked_by.happened, computing.settings.query.time
    first = min(event[time] for event in events)
    history = {}
    for name, one in past.tables.items():
        if one.declared.entities:
            asked = {entity: [event.get(entity) for event in events] for entity in one.declared.entities}
            rows = one.of_entities(asked, first - timedelta(days=one.declared.lookback_days))
            if seen is not None and name == happened:
                rows = pa.concat_tables([rows, seen.of_entities(asked, rows)])
            history[name] = rows
    return computing.engine.run(computing.reader.table(events), history, past)


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
