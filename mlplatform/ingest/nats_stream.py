"""Messages of a NATS JetStream stream, by their number in it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo

from mlplatform.errors import SourceError
from mlplatform.ingest.batch import Batch, Batches
from mlplatform.ingest.messages import Message, batch_of
from mlplatform.ingest.nats_client import NatsClient
from mlplatform.spec import StreamSource
from mlplatform.spec.stream import Nats

__all__ = ["NatsFeed"]

_FETCH = 1_000


@dataclass(frozen=True)
class _Place:
    """Where a stream was read to."""

    created: str
    """When the stream was made: one that was made anew numbers from 1 again."""
    number: int

    def stored(self) -> str:
        return json.dumps({"created": self.created, "number": self.number})


class NatsFeed:
    """The stream's messages behind the stored number, in their order, each once.

    The number is committed with the rows, so nothing comes twice into the table, whatever dies when. The server is told
    afterwards: it shows how far this consumer is, and may drop what all consumers have read.
    """

    def __init__(self, spec: StreamSource) -> None:
        assert isinstance(spec.broker, Nats), "the other brokers have feeds of their own"
        self.spec, self._broker = spec, spec.broker

    def batches(self, after: str | None) -> Batches:
        """Micro-batches up to the newest message that there is when the run begins."""
        until = monotonic() + self.spec.seconds_per_run
        with NatsClient(self.spec) as client:
            info = client.stream()
            place, last = self._place(info, after), info.state.last_seq
            dropped = self._dropped(info, place) if after is not None else None
            config = ConsumerConfig(
                durable_name=self._broker.durable,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=place.number + 1,
                # Of a batch only the last message is acknowledged, which stands for all before it.
                ack_policy=AckPolicy.ALL,
                max_ack_pending=self.spec.rows_per_commit + _FETCH,
            )
            if last <= place.number:
                return
            with client.consumer(config) as consumer:
                for messages in _up_to(consumer.batches(self.spec.rows_per_commit), last, until):
                    place = _Place(place.created, messages[-1].metadata.sequence.stream)
                    yield _batch(self.spec, messages, f"to number {place.number}", place.stored(), dropped)
                    dropped = None
                    consumer.acknowledge(messages[-1])
                if place.number < last and after is not None and not consumer.unread():
                    # The newest ones are of other subjects: they are behind us, too.
                    yield _batch(self.spec, [], f"to number {last}", _Place(place.created, last).stored(), dropped)

    def pending(self, after: str | None) -> str | None:
        """Names the newest message, if it is behind the stored number."""
        with NatsClient(self.spec) as client:
            info = client.stream()
        place = self._place(info, after)
        return f"{place.created} {info.state.last_seq}" if info.state.last_seq > place.number else None

    def between(self, start: date, end: date) -> Batches:
        """The messages that were published on these days, as far as the stream still keeps them, and all behind them,
        however long it takes: of a key that came again since, the newest message counts.

        Raises SourceError when the server falls silent before the last of them.
        """
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=datetime.combine(start, time(), UTC),
            ack_policy=AckPolicy.NONE,
            inactive_threshold=60,
        )
        with NatsClient(self.spec) as client:
            last = client.stream().state.last_seq
            with client.consumer(config) as consumer:
                for messages in consumer.batches(self.spec.rows_per_commit):
                    yield _batch(self.spec, messages, f"{start}..{end - timedelta(days=1)} and since", None)
                    if _is_last(messages[-1].metadata, last):
                        return
                if unread := consumer.unread():
                    raise SourceError(
                        f"source `{self.spec.name}`: the server {self._broker.url} fell silent with {unread} messages "
                        f"of {start}..{end - timedelta(days=1)} to come. What came is stored; run these days again."
                    )

    def _dropped(self, info: StreamInfo, place: _Place) -> str | None:
        """Numbers behind the stored one that the stream no longer holds, in words; None if there are none."""
        first = info.state.first_seq
        if first <= place.number + 1:
            return None
        return (
            f"the server dropped the messages {place.number + 1:,} to {first - 1:,} of the stream "
            f"{self._broker.stream}, of whatever subject, before they were read: its limits are too small for how "
            "seldom it is read. Allow more (max_msgs, max_bytes, max_age), or read it more often"
        )

    def _place(self, info: StreamInfo, after: str | None) -> _Place:
        created = str(info.created)
        if after is None:
            return _Place(created, 0)
        stored = _Place(**json.loads(after))
        return stored if stored.created == created else _Place(created, 0)


def _up_to(found: Iterator[list[Any]], last: int, until: float) -> Iterator[list[Any]]:
    """Batches of messages up to a number; nothing is waited for that was published later."""
    for messages in found:
        yield messages
        if _is_last(messages[-1].metadata, last) or monotonic() > until:
            return


def _is_last(message: Any, last: int) -> bool:
    return message.sequence.stream >= last or not message.num_pending


def _batch(
    spec: StreamSource, messages: Sequence[Any], name: str, cursor: str | None, left_out: str | None = None
) -> Batch:
    # Messages are numbered as they are published; to read the time of each costs as much as to read its JSON.
    newest = messages[-1].metadata.timestamp.astimezone(UTC).replace(tzinfo=None) if messages else None
    batch = batch_of(spec, [Message(message.subject, message.data) for message in messages], name, cursor, newest)
    return replace(batch, left_out=left_out)
