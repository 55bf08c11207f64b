"""From events to features, for one bundle: its reader, its engine, and the past that they look back on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import pyarrow as pa

from mlplatform.errors import LakeError
from mlplatform.serving.column import example_value
from mlplatform.serving.raw.engine import FeatureEngine
from mlplatform.serving.raw.events import EventReader
from mlplatform.serving.raw.history import History, Past
from mlplatform.serving.raw.keeper import PastKeeper
from mlplatform.serving.raw.seen import Seen, not_among, without_replaced
from mlplatform.serving.raw.settings import RawSettings

__all__ = ["Computing", "Event", "Rows"]

Event = Mapping[str, Any]
"""Typed, with a value for each field."""
Rows = list[dict[str, Any]]
"""Rows of features of one event."""


@dataclass(frozen=True)
class Computing:
    """What computes for one bundle. Used by one thread at a time."""

    settings: RawSettings
    reader: EventReader
    engine: FeatureEngine
    keeper: PastKeeper
    seen: Seen | None = None
    """Events that were answered and that the lake does not know yet."""

    @classmethod
    def of(cls, settings: RawSettings, keeper: PastKeeper, seen: Seen | None = None) -> Self:
        """With an engine of its own."""
        return cls(settings, EventReader(settings.fields), FeatureEngine(settings), keeper, seen)

    def happened(self, past: Past) -> History | None:
        """The rows of what has happened, among which later events see earlier ones; None where none do."""
        name = self.settings.asked_by.happened
        return past.tables[name] if name is not None else None

    def warm_up(self, past: Past) -> None:
        """Make the plan, and prove that the text runs, with the contract's example. Raises LakeError as `run` does."""
        example = {rule.name: example_value(rule) for rule in self.settings.fields}
        if past.newest is not None:
            example[self.settings.query.time] = past.newest
        events, problems = self.reader.read([example])
        if problems:
            wrong = problems[0]
            raise LakeError(f"the contract's own example breaks it: {wrong.field} {wrong.problem}; correct the example")
        self.run(events, past)

    def run(self, events: Sequence[Event], past: Past, happened: Sequence[Event] = ()) -> list[Rows]:
        """Features of each event, given the past of its entities and what was seen since.

        `happened`: those of the events that others of them may look back on, as training would: the text says how far
        an event sees others of its time.

        Raises:
            LakeError: the text cannot run on this.
        """
        kept_in, time = self.settings.asked_by.happened, self.settings.query.time
        first = min(event[time] for event in events)
        history = {}
        for name, one in past.tables.items():
            if one.declared.entities:
                asked = {entity: [event.get(entity) for event in events] for entity in one.declared.entities}
                rows = one.of_entities(asked, first - timedelta(days=one.declared.lookback_days))
                if name == kept_in:
                    key = self.settings.query.key
                    rows = self.seen.without_replaced(rows) if self.seen is not None else rows
                    rows = without_replaced(events, key, rows)
                    if self.seen is not None:
                        rows = pa.concat_tables([rows, self.seen.of_entities(asked, rows, events)])
                    if len(happened) > 1:
                        rows = pa.concat_tables([rows, not_among(happened, key, rows)])
                history[name] = rows
        return self.engine.run(self.reader.table(events), history, past)
