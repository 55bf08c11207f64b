"""One connection that sends a mix of valid and invalid requests and knows what each deserves."""

import asyncio
import json
import random
import time
from collections import Counter

from mlplatform.contracts.load import load_contract
from mlplatform.contracts.rules import describe
from mlplatform.serving.column import example_value
from mlplatform.spec import load_declaration

__all__ = ["INVALID", "Client"]

PAUSE_SECONDS = 0.05
INVALID: tuple[bytes, ...] = (
    b"",
    b"{",
    b"[]",
    b'"text"',
    b'{"amount": NaN}',
    b'{"amount": 1e999}',
    b'{"amount": "\xff\xfe"}',
    b'{"rows": []}',
    b'{"rows": [1, null, "x"]}',
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b'{"transaction_id": 99999999999999999999999999}',
    json.dumps({"rows": [{}] * 6000}).encode(),
    b'{"amount": "' + b"x" * 5_000_000 + b'"}',
)


class Client:
    """Counts `good`, `refused`, and `failed …` for what went wrong."""

    def __init__(self, port: int, events: list[bytes], number: int) -> None:
        self.counts: Counter[str] = Counter()
        self.versions: set[str] = set()
        self.happened: list[bytes] = []
        """Events that were answered, for whoever carries them to the lake."""
        self._port = port
        self._events = events[number::16]
        self._random = random.Random(number)
        declared = load_declaration("fraud")
        rules = describe(load_contract(declared.folder, "contract", "features"))
        self._row = {r.name: example_value(r) for r in rules if r.name in declared.spec.training.features}

    async def run(self, until: float) -> None:
        """One request after the other, a short pause between them, a new connection where one ended."""
        reader = writer = None
        number = 0
        while time.monotonic() < until:
            number += 1
            path, body, valid = self._next(number)
            try:
                if writer is None or writer.is_closing():
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                assert reader is not None
                status, answer, close = await self._ask(reader, writer, path, body)
            except (OSError, asyncio.IncompleteReadError) as error:
                # A server may end the connection of a body that it refuses; a valid one deserves an answer.
                self.counts["failed: " + type(error).__name__ if valid else "refused"] += 1
                writer = None
                continue
            if close:
                writer.close()
            self._count(status, answer, valid)
            if valid and path == "/score" and status == 200:
                self.happened.append(body)
            await asyncio.sleep(PAUSE_SECONDS * self._random.random())
        if writer is not None:
            writer.close()

    def _next(self, number: int) -> tuple[str, bytes, bool]:
        chance = self._random.random()
        if chance < 0.01:
            return self._random.choice(["/predict", "/score"]), self._random.choice(INVALID), False
        if chance < 0.4:
            return "/score", self._events[number % len(self._events)], True
        if chance < 0.5:
            return "/predict", json.dumps({"rows": [self._row] * 40, "explain": False}).encode(), True
        return "/predict", json.dumps({**self._row, "explain": chance > 0.8}).encode(), True

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
    ) -> tuple[int, bytes, bool]:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in answered.split(b"\r\n") if line.startswith(b"content-length:"))
        return int(answered[9:12]), await reader.readexactly(length), b"connection: close" in answered

    def _count(self, status: int, answer: bytes, valid: bool) -> None:
        if valid and status == 200:
            self.counts["good"] += 1
            self.versions.add(json.loads(answer)["model"]["version"])
        elif not valid and 400 <= status < 500:
            self.counts["refused"] += 1
        else:
            self.counts[f"failed: {status} for {'a valid' if valid else 'an invalid'} body"] += 1
