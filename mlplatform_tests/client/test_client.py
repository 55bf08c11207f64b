"""Both clients against the real app over HTTP, and what they do when a service is busy, down or demands a key."""

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from mlplatform.client import (
    API_KEY_VARIABLE,
    AsyncClient,
    BusyError,
    CallError,
    Client,
    InvalidRequestError,
    RefusedKeyError,
    Retry,
    ServerError,
    UnreachableError,
)
from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.scoring import Live, Slot
from mlplatform_tests.serving.conftest import GOOD, live, sealed  # noqa: F401  the fixtures of the service's own tests
from mlplatform_tests.serving.over_http import over_http
from mlplatform_tests.serving.test_lookup import films  # noqa: F401

NO_WAIT = Retry(first_seconds=0.0)


class Front:
    """Stands before the app: answers the first `fails` POSTs itself, or closes the connection, and notes headers."""

    def __init__(self, app: ASGIApp, status: int = 0, fails: int = 0, headers: dict[str, str] | None = None) -> None:
        self.app, self.status, self.fails, self.headers = app, status, fails, headers or {}
        self.seen: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        self.seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
        if len(self.seen) > self.fails:
            await self.app(scope, receive, send)
            return
        if not self.status:
            # uvicorn closes the connection of an app that breaks off within its answer.
            promised = [(b"content-length", b"99")]
            await send({"type": "http.response.start", "status": 200, "headers": promised})
            raise ConnectionResetError
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "not now", "request_id": "r"}'})


@pytest.fixture(scope="module")
def app(sealed: Path) -> ASGIApp:  # noqa: F811
    return create_app(Slot(Live.of(load_bundle(sealed), "fraud:v1")))


@pytest.fixture(scope="module")
def url(app: ASGIApp) -> Iterator[str]:
    with over_http(app) as address:
        yield address


@contextmanager
def client_of(url: str, **settings: Any) -> Iterator[Client]:
    with Client(url, **{"retry": NO_WAIT, **settings}) as client:
        yield client


def ask_both(url: str, ask: Callable[[Any], Any], **settings: Any) -> Any:
    """The answer of both clients, which must be the same but for the id."""

    async def later() -> Any:
        async with AsyncClient(url, retry=NO_WAIT, **settings) as client:
            return await ask(client)

    with client_of(url, **settings) as client:
        now = ask(client)
    assert asyncio.run(later()) == now
    return now


def test_a_row_gets_a_typed_prediction_from_both_clients(url: str) -> None:
    said = ask_both(url, lambda client: client.predict(GOOD, request_id="order-17"))
    assert 0 <= said.score <= 1
    assert said.decision is (said.score >= said.threshold)
    assert said.threshold == 0.3
    assert (said.model.version, said.request_id, len(said.reasons)) == ("1", "order-17", 3)
    assert said.reasons[0].feature in GOOD


def test_big_lists_go_in_chunks_and_come_back_in_order(url: str, app: ASGIApp) -> None:
    rows = [{**GOOD, "amount": float(amount)} for amount in range(45)]
    front = Front(app)
    with over_http(front) as address, client_of(address, chunk_rows=10) as client:
        scores = [one.score for one in client.predict_many(iter(rows), request_id="batch")]
    with client_of(url) as client:
        together = [one.score for one in client.predict_many(rows)]
    assert scores == together
    assert [headers["x-request-id"] for headers in front.seen] == [f"batch-{n}" for n in range(5)]
    assert {one.threshold for one in ask_both(url, lambda c: c.predict_many(rows, request_id="b"))} == {0.3}
    assert [one.score for one in ask_both(url, lambda c: c.predict_many(rows, request_id="b"), chunk_rows=7)] == scores


def test_rows_whose_reasons_are_wanted_go_in_as_many_requests_as_the_service_takes(app: ASGIApp) -> None:
    front = Front(app)
    with over_http(front) as address, client_of(address) as client:
        explained = client.predict_many([GOOD] * 501, explain=True, request_id="why")
    assert len(explained) == 501
    assert all(one.reasons for one in explained)
    assert [headers["x-request-id"] for headers in front.seen] == ["why-0", "why-1"]


def test_no_rows_are_no_request(app: ASGIApp) -> None:
    front = Front(app)
    with over_http(front) as address, client_of(address) as client:
        assert client.predict_many([]) == []
    assert front.seen == []


def test_numbers_of_numpy_are_sent_as_numbers_and_nan_is_refused_before_it_is_sent(url: str) -> None:
    with client_of(url) as client:
        assert client.predict({**GOOD, "count_7d": np.int64(4)}).score == client.predict(GOOD).score
        with pytest.raises(ValueError, match=r"row 1 cannot be sent as JSON.*None, not NaN"):
            client.predict_many([GOOD, {**GOOD, "risk": float("nan")}])


def test_all_problems_come_with_the_position_in_the_callers_own_list(url: str) -> None:
    rows = [GOOD] * 12 + [{**GOOD, "amount": -1, "channel": "cash"}]
    with client_of(url, chunk_rows=5) as client, pytest.raises(InvalidRequestError) as caught:
        client.predict_many(rows)
    assert [(each.row, each.field) for each in caught.value.problems] == [(12, "amount"), (12, "channel")]
    assert caught.value.status == 422
    assert "row 12, amount is below the minimum; allowed: a number, at least 0" in str(caught.value)


def test_a_key_gets_its_entries(films: Path) -> None:  # noqa: F811
    with over_http(create_app(Slot(Live.of(load_bundle(films), "case:v1")))) as address:
        said = ask_both(address, lambda client: client.look_up({"user_id": 1, "k": 3}, request_id="a"))
        unknown = ask_both(address, lambda client: client.look_up({"user_id": 99}, request_id="a"))
    assert [entry.shown["title"].startswith("film") for entry in said.entries] == [True] * 3
    assert said.entries[0].score is not None
    assert (said.known, unknown.known) == (True, False)
    assert {entry.threshold for entry in said.entries} == {None}


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_busy_or_broken_service_is_asked_again_under_the_same_id(app: ASGIApp, status: int) -> None:
    front = Front(app, status, fails=2)
    with over_http(front) as address, client_of(address) as client:
        assert client.predict(GOOD).score is not None
    assert len(front.seen) == 3
    assert len({headers["x-request-id"] for headers in front.seen}) == 1


async def test_the_other_client_asks_again_too(app: ASGIApp) -> None:
    front = Front(app, 503, fails=3)
    with over_http(front) as address:
        async with AsyncClient(address, retry=NO_WAIT) as client:
            assert len(await client.predict_many([GOOD] * 6, request_id="x")) == 6
    assert [headers["x-request-id"] for headers in front.seen] == ["x"] * 4


@pytest.mark.parametrize(
    ("status", "error"), [(400, InvalidRequestError), (404, InvalidRequestError), (408, CallError), (500, ServerError)]
)
def test_the_last_word_of_a_service_is_not_asked_for_again(app: ASGIApp, status: int, error: type[CallError]) -> None:
    front = Front(app, status, fails=9)
    with over_http(front) as address, client_of(address) as client, pytest.raises(error, match="not now"):
        client.predict(GOOD)
    assert len(front.seen) == 1


def test_a_service_that_stays_busy_is_an_error_that_says_for_how_long(app: ASGIApp) -> None:
    front = Front(app, 429, fails=9, headers={"Retry-After": "0"})
    with over_http(front) as address, client_of(address) as client, pytest.raises(BusyError) as caught:
        client.predict(GOOD)
    assert (caught.value.attempts, caught.value.retry_after, len(front.seen)) == (4, 0.0, 4)


def test_who_is_told_to_come_back_much_later_does_not_wait(app: ASGIApp) -> None:
    front = Front(app, 503, fails=9, headers={"Retry-After": "3600"})
    with over_http(front) as address, client_of(address) as client, pytest.raises(BusyError) as caught:
        client.predict(GOOD)
    assert (caught.value.attempts, caught.value.retry_after) == (1, 3600.0)


def test_nobody_there_is_an_error_after_all_attempts() -> None:
    with client_of("http://127.0.0.1:1") as client, pytest.raises(UnreachableError) as caught:
        client.predict(GOOD)
    assert caught.value.attempts == 4


def test_an_address_without_a_scheme_is_an_error_at_once() -> None:
    with client_of("127.0.0.1:1") as client, pytest.raises(UnreachableError) as caught:
        client.predict(GOOD)
    assert caught.value.attempts == 1


def test_the_key_is_sent_from_the_argument_or_the_environment(app: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front(app)
    monkeypatch.setenv(API_KEY_VARIABLE, "from-environment")
    with over_http(front) as address:
        for key in (None, "given", ""):
            with client_of(address, api_key=key) as client:
                client.predict(GOOD)
    sent = [headers.get("authorization") for headers in front.seen]
    assert sent == ["Bearer from-environment", "Bearer given", None]


def test_a_refused_key_is_an_error_of_its_own(app: ASGIApp) -> None:
    with over_http(Front(app, 401, fails=9)) as address, client_of(address) as client, pytest.raises(RefusedKeyError):
        client.predict(GOOD)


def test_readiness_is_asked_once_and_503_is_an_answer(url: str) -> None:
    said = ask_both(url, lambda client: client.ready())
    assert (said.ready, said.status, said.model.version) == (True, "ready", "1")
    with over_http(create_app(Slot())) as address, client_of(address) as client:
        assert client.ready().ready is False
        assert client.ready().model is None


def test_waits_grow_up_to_the_longest_and_are_drawn() -> None:
    import httpx

    longest = Retry(attempts=9, first_seconds=1.0, most_seconds=5.0, draw=lambda low, high: high)
    refused = httpx.ConnectError("refused")
    assert [longest.pause(attempt, refused) for attempt in range(1, 5)] == [1.0, 2.0, 4.0, 5.0]
    assert longest.pause(9, refused) is None
    assert {Retry().pause(1, refused) for _ in range(20)} != {0.2}


def test_a_date_in_retry_after_is_read() -> None:
    import httpx

    from mlplatform.client.retry import retry_after

    past = httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    future = httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2215 07:28:00 GMT"})
    assert (retry_after(past), retry_after(httpx.Response(503, headers={"Retry-After": "soon"}))) == (0.0, None)
    assert (retry_after(future) or 0) > 1e9


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        public = {name: member for name, member in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(member).parameters) for name, member in public.items()}

    assert methods(Client) == methods(AsyncClient)


def test_the_client_imports_nothing_of_the_platform_and_nothing_heavy() -> None:
    code = "import httpx, sys; before = set(sys.modules); import mlplatform.client; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in new if not name.startswith("mlplatform.client")} == {"mlplatform"}
