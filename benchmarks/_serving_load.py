"""A small HTTP/1.1 keep-alive load client on raw asyncio protocols, run as a process of its own.

httpx costs more CPU per request than the services it would measure; on two cores the client would be the bottleneck.
"""

import argparse
import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# A peer that stops answering must end the measurement, not hang it.
GRACE_SECONDS = 30
MAX_REQUESTS = 1_000_000


@dataclass(frozen=True)
class Measured:
    """One measurement. `failed`: answers that were not 200, and connections that broke."""

    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, requests: Iterator[bytes], until: float, done: asyncio.Future[None]) -> None:
        self.latencies: list[float] = []
        self.failed = 0
        self._requests, self._until, self._done = requests, until, done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self._buffer, 0, head)
        assert length, "the peer must send Content-Length"
        if len(self._buffer) < head + 4 + int(length[1]):
            return
        self.latencies.append(time.perf_counter() - self._sent)
        self.failed += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # whatever the reason: a connection that is cut is a failed request
        if not self._done.done():
            self.failed += 1
            self._done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._until or len(self.latencies) >= MAX_REQUESTS:
            self._done.set_result(None)
            self._transport.close()
            return
        self._transport.write(next(self._requests))


async def measure(port: int, path: str, bodies: Sequence[bytes], connections: int, seconds: float) -> Measured:
    """Keep `connections` busy for `seconds`; the connections take the bodies in turn, round and round."""
    loop = asyncio.get_running_loop()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = itertools.cycle(head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies)
    started = time.perf_counter()
    ends = [loop.create_future() for _ in range(connections)]
    opened = [
        (
            await loop.create_connection(
                lambda end=end: _Connection(requests, started + seconds, end), "127.0.0.1", port
            )
        )[1]
        for end in ends
    ]
    await asyncio.wait_for(asyncio.gather(*ends), seconds + GRACE_SECONDS)
    elapsed = time.perf_counter() - started
    latencies = sorted(value for connection in opened for value in connection.latencies)
    return Measured(
        requests=len(latencies),
        failed=sum(connection.failed for connection in opened),
        per_second=len(latencies) / elapsed,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", type=Path, required=True, help="one request body per line")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    bodies = given.body.read_bytes().splitlines()
    work = measure(given.port, given.path, bodies, given.connections, given.seconds)
    print(json.dumps(asdict(asyncio.run(work))))


if __name__ == "__main__":
    main()
