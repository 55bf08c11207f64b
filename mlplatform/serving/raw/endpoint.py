"""POST /score: what the application knows goes in; features are computed here; the answer is that of /predict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from mlplatform.serving.canary import QUESTION, Reply
from mlplatform.serving.endpoint import Predict
from mlplatform.serving.journal import Journal
from mlplatform.serving.laps import lap
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.request import Limits, Parsed, RefusedError, parse
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.trial import Trial

__all__ = ["MAX_EVENTS", "Score", "listed"]

MAX_EVENTS = 256
"""Of one request: they are computed in one query, and everybody else waits for it."""


class Score(Predict):
    """A request of events becomes one of features, and is answered and journalled as such."""

    def __init__(
        self, slot: Slot, limits: Limits | None, journal: Journal | None, trial: Trial, raw: RawFeatures
    ) -> None:
        super().__init__(slot, limits, journal, trial)
        self._raw = raw

    def parsed(self, live: Live, body: bytes) -> Parsed:
        """Raises RefusedError if the body is none."""
        limits, raw = self.limits_of(live), live.bundle.raw
        return parse(body, limits.with_rows(MAX_EVENTS), len(raw.fields) if raw else 0, of_events=True)

    async def reply(self, live: Live, request: Parsed, identity: str) -> Reply:
        """Raises RefusedError where the events are wrong, or no features can be made of them."""
        began = perf_counter()
        computed = await self._raw.compute(live, request.rows, remember=request.remember)
        lap("features", began)
        reply = await self._answered(live, request, computed, identity)
        return reply if request.remember else _as_question(reply)

    async def _answered(
        self, live: Live, request: Parsed, computed: Sequence[Sequence[Mapping[str, Any]]], identity: str
    ) -> Reply:
        if not listed(live):
            rows = [_row(live, found[0]) for found in computed if found]
            if len(rows) < len(computed):
                raise _without_features(live)
            return await super().reply(live, replace(request, rows=rows), identity)
        if not request.single:
            raise RefusedError(422, "each event has a list of answers here; send one event per request")
        if not computed[0]:
            raise _without_features(live)
        features = [_row(live, row) for row in computed[0]]
        reply = await super().reply(live, replace(request, rows=features, single=False), identity)
        return reply._replace(content=_listed(live, computed[0], reply.content["predictions"]))


def _as_question(reply: Reply) -> Reply:
    """What has not happened is journalled as such: it has no outcome, and its key may be that of something else. A
    challenger in the shadow is not asked: it is compared on what happened."""
    parts = tuple(part._replace(role=QUESTION) for part in reply.parts)
    return reply._replace(parts=parts, afterwards=None)


def listed(live: Live) -> bool:
    """Whether each event has a list of answers, as a request by key has, such as one per day ahead."""
    raw = live.bundle.raw
    return raw is not None and raw.asked_by.spine is not None and live.bundle.lookup is not None


def _row(live: Live, computed: Mapping[str, Any]) -> dict[str, Any]:
    """What /predict would be sent: the model's features, keys and event time."""
    names = live.reader.names
    return {name: _plain(value) for name, value in computed.items() if name in names}


def _listed(live: Live, computed: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> dict[str, Any]:
    """As a request by key is answered: each entry with the columns that are shown."""
    lookup = live.bundle.lookup
    assert lookup is not None
    shown = lookup.settings.shown
    entries = [
        {**{name: _plain(row.get(name)) for name in shown}, **answer}
        for row, answer in zip(computed, predictions, strict=True)
    ]
    return {lookup.settings.answers: entries}


def _without_features(live: Live) -> RefusedError:
    return RefusedError(409, f"nothing is known of this in {live.bundle.use_case}; no features can be made of it")


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value
