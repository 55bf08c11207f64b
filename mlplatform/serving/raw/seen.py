"""Events that a service has just answered and that the lake does not know yet: part of the past of the next request."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.serving.raw.history import History

__all__ = ["LIMIT", "Seen", "not_among", "without_replaced"]

LIMIT = 200_000
"""More than so many are not kept: the oldest make room, and are counted."""

Event = Mapping[str, Any]


class Seen:
    """Events by key, found by entity. Used by one thread at a time."""

    def __init__(self, key: str, entities: Sequence[str], limit: int = LIMIT) -> None:
        self._key = key
        self._entities = tuple(entities)
        self._limit = limit
        self._events: OrderedDict[Any, Event] = OrderedDict()
        self._instead: dict[Any, Event] = {}
        """Key -> the lake's row that an event of the same key stands in the place of."""
        self._places: dict[str, dict[Any, set[Any]]] = {name: defaultdict(set) for name in self._entities}
        self._settled: History | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Iterable[Event], known: History | None = None) -> None:
        """Remember events; one with the key of an earlier one, or of a `known` row, takes its place.

        One that says what is known already need not be remembered.
        """
        for event in events:
            key = event[self._key]
            self._forget(key)
            if known is not None and (row := known.row_of(key)) is not None:
                if not _differs(event, row, known.rows.schema):
                    continue
                self._instead[key] = row
            self._events[key] = event
            for name in self._entities:
                self._places[name][event[name]].add(event[self._key])
        while len(self._events) > self._limit:
            self._forget(next(iter(self._events)))
            self.dropped += 1

    def without_replaced(self, known: pa.Table) -> pa.Table:
        """The known rows but those in whose place an event of the same key stands, also one of another entity."""
        return _without(known, self._key, list(self._instead))

    def of_entities(
        self, asked: Mapping[str, Iterable[Any]], known: pa.Table, events: Iterable[Event] = ()
    ) -> pa.Table:
        """Those that share an entity with what is asked for and are not among the `known` rows, in their columns.

        Nor those that are asked for again, the `events` themselves: what happened once is not part of its own past.
        """
        keys: dict[Any, None] = {}
        for name, places in self._places.items():
            for value in set(asked.get(name, ())):
                keys.update(dict.fromkeys(places.get(value, ())))
        for event in events:
            keys.pop(event[self._key], None)
        return not_among([self._events[key] for key in keys], self._key, known)

    def settle(self, history: History, oldest: datetime | None) -> None:
        """Forget what is in a newer history, and what is older than any feature looks back to.

        An event that stands in the place of a row does so until the lake has another row there.
        """
        if not self._events or history is self._settled:
            return
        self._settled = history
        keys = list(self._events)
        column = history.rows[self._key]
        there = pc.is_in(pa.array(keys, column.type), value_set=column.combine_chunks()).to_pylist()
        time = history.declared.time
        for key, known in zip(keys, there, strict=True):
            stands = key in self._instead and history.row_of(key) == self._instead[key]
            if (known and not stands) or (oldest is not None and self._events[key][time] < oldest):
                self._forget(key)

    def _forget(self, key: Any) -> None:
        event = self._events.pop(key, None)
        self._instead.pop(key, None)
        if event is None:
            return
        for name in self._entities:
            keys = self._places[name][event[name]]
            keys.discard(key)
            if not keys:
                del self._places[name][event[name]]


def not_among(events: Sequence[Event], key: str, known: pa.Table) -> pa.Table:
    """Those of the events whose key no known row has, in the columns of the known rows."""
    if not events:
        return known.slice(0, 0)
    column = known[key]
    there = pc.is_in(pa.array([event[key] for event in events], column.type), value_set=column.combine_chunks())
    fresh = [event for event, is_there in zip(events, there.to_pylist(), strict=True) if not is_there]
    return pa.Table.from_pylist(fresh, schema=known.schema)


def without_replaced(events: Sequence[Event], key: str, known: pa.Table) -> pa.Table:
    """The known rows but those whose key is asked for with other contents: what is asked for takes their place."""
    asked = {event[key]: event for event in events}
    at = pc.is_in(known[key], value_set=pa.array(list(asked), known[key].type))
    if not pc.any(at).as_py():
        return known
    there = known.filter(at)
    changed = [row[key] for row in there.to_pylist() if _differs(asked[row[key]], row, known.schema)]
    return _without(known, key, changed)


def _without(known: pa.Table, key: str, values: Sequence[Any]) -> pa.Table:
    """The known rows but those of these keys."""
    if not values:
        return known
    return known.filter(pc.invert(pc.is_in(known[key], value_set=pa.array(values, known[key].type))))


def _differs(event: Event, row: Event, schema: pa.Schema) -> bool:
    """Whether an event says something else than a row of the same key, in the fields that both have."""
    fields = [name for name in schema.names if name in event]
    # By way of Arrow, so that both are of one type.
    given: Event = pa.Table.from_pylist([event], schema=schema).select(fields).to_pylist()[0]
    return any(given[name] != row[name] for name in fields)
