"""A NATS connection in a thread of its own: its library is asynchronous, the stages are not."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamInfo

from mlplatform.errors import SourceError
from mlplatform.ingest.secret import secret
from mlplatform.spec import StreamSource
from mlplatform.spec.stream import Nats

__all__ = ["NatsClient", "NatsConsumer"]

T = TypeVar("T")
_SECONDS = 10
_FETCH = 1_000
_SILENT_SECONDS = 1.0


class NatsClient:
    """A connected client. Raises SourceError when the server does not answer, refuses, or lacks the stream."""

    def __init__(self, spec: StreamSource) -> None:
        assert isinstance(spec.broker, Nats), "the other brokers have clients of their own"
        self.spec, self.broker = spec, spec.broker
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"nats {spec.name}", daemon=True)
        self._client: Client | None = None
        self._told: list[str] = []

    def __enter__(self) -> "NatsClient":
        self._thread.start()
        try:
            self._client = self.call(self._connect())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._client is not None
        try:
            self.call(self._client.close())
        finally:
            self._stop()

    def stream(self) -> StreamInfo:
        """The declared stream as it is now. Raises SourceError for one that forgets a message once it is read."""
        info: StreamInfo = self.call(self.jetstream.stream_info(self.broker.stream))
        kept = RetentionPolicy(info.config.retention or RetentionPolicy.LIMITS)
        if kept != RetentionPolicy.LIMITS:
            what = "is a work queue" if kept == RetentionPolicy.WORK_QUEUE else f"has the retention `{kept.value}`"
            raise SourceError(
                f"source `{self.spec.name}`: the stream {self.broker.stream} {what}, which forgets a message once it "
                "is read, or once nobody is there to read it. Give it the retention `limits`."
            )
        return info

    @property
    def jetstream(self) -> Any:
        """NATS' own interface."""
        assert self._client is not None
        return self._client.jetstream(timeout=_SECONDS)

    @contextmanager
    def consumer(self, config: ConsumerConfig) -> Iterator["NatsConsumer"]:
        """A consumer of the stream. One that has a name replaces the one that had it, which knew less than the lake."""
        if config.durable_name:
            with suppress(*_NOT_FOUND):  # the first run
                self.call(self.jetstream.delete_consumer(self.broker.stream, config.durable_name), keep=_NOT_FOUND)
        subscribed = self.call(
            self.jetstream.pull_subscribe(
                self.broker.subject or "", durable=config.durable_name, stream=self.broker.stream, config=config
            )
        )
        try:
            yield NatsConsumer(self, subscribed)
        finally:
            # What the consumer's name is kept for, its place, stays with the server.
            # A connection that is closed has no subscription, and its error would hide the one that ends the run.
            with suppress(*_CLOSED):
                self.call(subscribed.unsubscribe(), keep=_CLOSED)

    def call(self, work: Coroutine[Any, Any, T], keep: tuple[type[Exception], ...] = ()) -> T:
        """What a coroutine gives; its errors in words of the declaration, but those to `keep`."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except keep:
            raise
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise self._error(error) from None

    async def flush(self) -> None:
        """Wait until the server has what was sent."""
        assert self._client is not None
        await self._client.flush()

    async def _connect(self) -> Client:
        login: dict[str, Any] = {}
        if self.broker.user_variable and self.broker.password_variable:
            login = {
                "user": secret(self.spec.name, self.broker.user_variable),
                "password": secret(self.spec.name, self.broker.password_variable),
            }
        client = Client()
        try:
            await client.connect(
                self.broker.url,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # else a server that is down is asked for two minutes
                connect_timeout=_SECONDS,
                error_cb=self._on_error,
                **login,
            )
        except (TimeoutError, nats.errors.Error, OSError):
            await self._abandon(client)
            raise
        return client

    async def _abandon(self, client: Client) -> None:
        """Close what a refused connection leaves open; its library (2.16) does not."""
        await client.close()
        transport: Any = getattr(client, "_transport", None)
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)

    async def _on_error(self, error: Exception) -> None:
        self._told.append(str(error))

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    def _error(self, error: Exception) -> SourceError:
        told = " ".join([str(error), *self._told])
        where = f"source `{self.spec.name}`: the server {self.broker.url}"
        if "uthorization" in told or "authentication" in told.lower():
            return SourceError(f"{where} refuses this user or password. Correct the variables that `broker` names.")
        if isinstance(error, nats.js.errors.NotFoundError):
            return SourceError(f"{where} has no stream {self.broker.stream}. Create it, or correct `stream`.")
        if isinstance(error, nats.js.errors.ServiceUnavailableError):
            return SourceError(f"{where} runs without JetStream. Start it with `-js`.")
        if isinstance(error, OSError | nats.errors.NoServersError):
            return SourceError(f"{where} does not answer. Start it, or correct `url`.")
        return SourceError(f"{where} failed: {type(error).__name__} {error}. What is not stored comes again.")


_CLOSED = (nats.errors.ConnectionClosedError,)
_NOT_FOUND = (nats.js.errors.NotFoundError,)


class NatsConsumer:
    """A consumer that is asked for messages."""

    def __init__(self, client: NatsClient, subscribed: Any) -> None:
        self._client, self._subscribed = client, subscribed
        self._received = 0

    def batches(self, most: int) -> Iterator[list[Any]]:
        """Lists of at most `most` messages, until none comes for a second."""
        while True:
            found: list[Any] = []
            while len(found) < most:
                more = self._client.call(self._fetch(min(_FETCH, most - len(found))))
                found += more
                self._received = max([self._received, *(message.metadata.sequence.consumer for message in more[-1:])])
                if not more or not more[-1].metadata.num_pending:
                    break
            if not found:
                return
            yield found

    def unread(self) -> int:
        """How many messages the server still holds for this consumer, or has sent that did not come.

        A second in which none comes says nothing: a server may be slow.
        """
        info = self._client.call(self._subscribed.consumer_info())
        sent = info.delivered.consumer_seq if info.delivered else 0
        return int(info.num_pending or 0) + max(0, int(sent) - self._received)

    def acknowledge(self, message: Any) -> None:
        """Tell the server that a message, and all before it, are stored."""
        self._client.call(self._acknowledge(message))

    async def _fetch(self, most: int) -> list[Any]:
        try:
            return list(await self._subscribed.fetch(most, timeout=_SILENT_SECONDS))
        except nats.errors.TimeoutError:
            return []

    async def _acknowledge(self, message: Any) -> None:
        await message.ack()
        await self._client.flush()
