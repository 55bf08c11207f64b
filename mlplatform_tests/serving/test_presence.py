"""Work for clients that have gone is not begun."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message

from mlplatform.serving import presence
from mlplatform.serving.app import create_app
from mlplatform.serving.codec import dumps
from mlplatform.serving.journal import Journal, JournalSettings
from mlplatform.serving.raw.batcher import Batcher, Item
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.watch import Observer
from mlplatform_tests.serving.conftest import FEATURES, GOOD
from mlplatform_tests.serving.over_http import over_http
from mlplatform_tests.serving.test_journal import lines_of


class Held(Live):
    """A model that scores when it may, and remembers how many rows it was asked for."""

    free = threading.Event()
    began = threading.Event()
    asked = list[int]()

    def score(self, rows: Any, matrix: Any, explain: bool | None) -> list[dict[str, Any]]:
        self.asked.append(len(rows))
        self.began.set()
        assert self.free.wait(10)
        return super().score(rows, matrix, explain)


def test_long_work_whose_client_left_before_its_turn_is_neither_done_nor_journalled_and_is_counted(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "THREADS", 1)
    kept = replace(live.bundle, journal=JournalSettings(True, (), "event_time", FEATURES))
    observer, journal = Observer(), Journal(tmp_path / "journal")
    app = create_app(Slot(Held(kept, live.bento, live.reader)), journal=journal, observer=observer)
    with over_http(app) as url, contextlib.ExitStack() as opened, httpx.Client(base_url=url, trust_env=False) as client:
        address = (str(urlsplit(url).hostname), int(urlsplit(url).port or 0))
        first, last = (opened.enter_context(socket.create_connection(address, timeout=10)) for _ in range(2))
        first.sendall(request(17))
        assert Held.began.wait(10)
        for _ in range(3):
            with socket.create_connection(address) as leaving:
                leaving.sendall(request(18))
        last.sendall(request(19))
        # Twice: whoever left before this answer came has been noticed.
        assert [client.get("/livez").status_code for _ in range(2)] == [200, 200]
        Held.free.set()
        assert all(b" 200 " in each.recv(4096) for each in (first, last))
    journal.close()
    counted = {key: count for key, count in observer.traffic.requests.items() if key[0] == "/predict"}
    assert counted == {("/predict", 499): 3, ("/predict", 200): 2}
    assert Held.asked == [17, 19]
    assert len(lines_of(tmp_path / "journal")) == 17 + 19


def request(rows: int) -> bytes:
    body = dumps({"rows": [GOOD] * rows, "explain": False})
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def told(*messages: Message) -> bool:
    """What `is_gone` says where `receive` gives these, and waits behind them."""
    waiting, never = list(messages), asyncio.Event()

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await never.wait()
        raise AssertionError

    return presence.is_gone(receive)


async def test_who_has_gone_says_so_and_who_waits_does_not_hold_up_who_asks() -> None:
    assert await told({"type": "http.disconnect"})
    assert not await told({"type": "http.request", "body": b"", "more_body": False})
    assert not await told()


async def test_without_a_client_work_is_done() -> None:
    assert await presence.in_turn(lambda: 3) == 3
    assert presence.watch()() is False


async def test_long_work_waits_for_a_thread_and_is_not_begun_when_its_client_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "THREADS", 1)
    gone, held, done = asyncio.Event(), threading.Event(), list[str]()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def second() -> None:
        token = presence.begin(receive)
        try:
            await presence.in_turn(done.append, "second")
        finally:
            presence.end(token)

    first = asyncio.create_task(presence.in_turn(held.wait, 10))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(second())
    await asyncio.sleep(0)
    gone.set()
    held.set()
    assert await first
    with pytest.raises(presence.GoneError):
        await waiting
    assert await presence.in_turn(done.append, "third") is None
    assert done == ["third"]


async def test_requests_that_take_long_leave_half_of_the_threads_to_those_that_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "THREADS", 2)
    held = threading.Event()
    long = [asyncio.create_task(presence.in_turn(held.wait, 10, long=True)) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(presence.in_turn(lambda: 3), 5) == 3
    held.set()
    assert all(await asyncio.gather(*long))


async def test_scores_of_some_rows_do_not_wait_behind_the_reasons_of_many(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "THREADS", 2)
    free = threading.Event()

    class Explaining(Live):
        def score(self, rows: Any, matrix: Any, explain: bool | None) -> list[dict[str, Any]]:
            assert not explain or free.wait(10)
            return super().score(rows, matrix, explain)

    app = create_app(Slot(Explaining(live.bundle, live.bento, live.reader)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        many = {"rows": [GOOD] * 100, "explain": True}
        waiting = [asyncio.create_task(client.post("/predict", json=many)) for _ in range(10)]
        await asyncio.sleep(0.05)
        some = await asyncio.wait_for(client.post("/predict", json={"rows": [GOOD] * 20, "explain": False}), 5)
        free.set()
        assert {reply.status_code for reply in [some, *await asyncio.gather(*waiting)]} == {200}


async def test_who_asks_behind_events_that_were_given_up_does_not_wait_for_them() -> None:
    computed, held = list[str](), threading.Event()

    def compute(batch: Sequence[str]) -> Sequence[str]:
        computed.extend(batch)
        held.wait(10)
        return batch

    def item(name: str, gone: bool = False) -> Item[str]:
        # The same key: no two of them may share a query.
        return Item(name, 1, "model", frozenset({"key"}), lambda: gone)

    batcher = Batcher(compute)
    first = asyncio.create_task(batcher.submit(item("first")))
    while not computed:
        await asyncio.sleep(0.001)
    left = [asyncio.create_task(batcher.submit(item(f"left {n}", gone=True))) for n in range(20)]
    cancelled = [asyncio.create_task(batcher.submit(item(f"cancelled {n}"))) for n in range(20)]
    last = asyncio.create_task(batcher.submit(item("last")))
    await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    began = time.monotonic()
    held.set()
    assert (await first, await last) == ("first", "last")
    assert time.monotonic() - began < 10
    assert computed == ["first", "last"]
    assert batcher.waiting == 0
    assert all(isinstance(each, presence.GoneError) for each in await asyncio.gather(*left, return_exceptions=True))
