"""The guard around the app, in process. BentoML's own routes are asked in test_secured_service.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlplatform.errors import SecurityError
from mlplatform.serving.api_keys import create_key
from mlplatform.serving.app import create_app
from mlplatform.serving.authentication import Authentication, KeyFile
from mlplatform.serving.csp import page_policy
from mlplatform.serving.exposure import Exposure, is_loopback, listening_addresses
from mlplatform.serving.guard import Guard
from mlplatform.serving.limits import Limits
from mlplatform.serving.outgoing import UNFORESEEN
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.security import Protection, Security, authenticates
from mlplatform_tests.serving.conftest import GOOD

LOOPBACK = "http://127.0.0.1:3003"


def client_of(
    app: ASGIApp, security: Security | None = None, url: str = LOOPBACK, peer: str = "127.0.0.1"
) -> httpx.AsyncClient:
    # An exception that leaves the guard must fail the test, not become the transport's 500.
    guard = Guard(app, security or Security())
    transport = httpx.ASGITransport(guard, raise_app_exceptions=True, client=(peer, 1))
    return httpx.AsyncClient(transport=transport, base_url=url)


@pytest.fixture
def app(live: Live) -> Starlette:
    return create_app(Slot(live))


@pytest.fixture
async def open_client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as opened:
        yield opened


@pytest.fixture
def keyed(tmp_path: Path) -> tuple[Security, str]:
    key = create_key(tmp_path / "keys.json", "shop")
    return with_keys(tmp_path / "keys.json"), key


def with_keys(file: Path, protection: Protection | None = None) -> Security:
    keys = KeyFile(str(file))
    keys.check()
    return Security(protection, Authentication(keys, None))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# Who is let in


async def test_without_keys_loopback_is_answered(open_client: httpx.AsyncClient) -> None:
    assert (await open_client.post("/predict", json=GOOD)).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/", "/openapi.json", "/metrics", "/no-such-place"])
async def test_with_keys_nobody_else_is_answered(app: Starlette, keyed: tuple[Security, str], path: str) -> None:
    async with client_of(app, keyed[0]) as client:
        method = "POST" if path == "/predict" else "GET"
        without = await client.request(method, path, json=GOOD)
        wrong = await client.request(method, path, json=GOOD, headers=bearer("mlp_" + "x" * 43))

    assert (without.status_code, wrong.status_code) == (401, 401)
    assert without.json()["error"].startswith("send an API key")
    assert "not valid" in wrong.json()["error"]
    assert keyed[0].refused["unauthenticated"] == 2


@pytest.mark.parametrize("how", ["bearer", "x-api-key", "basic"])
async def test_a_key_is_taken_from_either_header_and_as_a_password(
    app: Starlette, keyed: tuple[Security, str], how: str
) -> None:
    headers = {"bearer": bearer(keyed[1]), "x-api-key": {"x-api-key": keyed[1]}, "basic": {}}[how]
    async with client_of(app, keyed[0]) as client:
        auth = httpx.BasicAuth("anybody", keyed[1]) if how == "basic" else None
        answer = await client.post("/predict", json=GOOD, headers=headers, auth=auth)

    assert answer.status_code == 200


async def test_a_key_counts_also_behind_a_proxy_that_logs_in_with_a_password_of_its_own(
    app: Starlette, keyed: tuple[Security, str]
) -> None:
    async with client_of(app, keyed[0]) as client:
        auth = httpx.BasicAuth("proxy", "secret")
        answer = await client.post("/predict", json=GOOD, headers={"x-api-key": keyed[1]}, auth=auth)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v2/models/x", "there is no such model here; fraud is served"),
        ("/v2/models/x/ready", "there is no such model here; fraud is served"),
        ("/v2/models/fraud/versions/9", "version 1 is served; leave the version out"),
    ],
)
async def test_a_client_that_looks_for_another_model_reads_which_one_is_served(
    open_client: httpx.AsyncClient, path: str, says: str
) -> None:
    reply = await open_client.get(path, headers={"x-request-id": "mine"})

    assert (reply.status_code, reply.headers["x-request-id"]) == (404, "mine")
    assert set(reply.json()) == {"error"}
    assert says in reply.json()["error"]


async def test_before_a_model_is_loaded_the_protocol_s_readiness_is_the_protocol_s() -> None:
    async with client_of(create_app(Slot())) as client:
        ready, model = await client.get("/v2/health/ready"), await client.get("/v2/models/fraud")

    assert (ready.status_code, ready.json()) == (503, {"ready": False})
    assert (model.status_code, model.headers["retry-after"]) == (503, "1")
    assert "no model is loaded yet" in model.json()["error"]


async def test_a_browser_that_opens_the_page_is_asked_for_the_key_and_a_program_is_told_of_the_header(
    app: Starlette, keyed: tuple[Security, str]
) -> None:
    async with client_of(app, keyed[0]) as client:
        page, predict = await client.get("/"), await client.post("/predict", json=GOOD)

    assert page.headers["www-authenticate"].startswith("Basic ")
    assert predict.headers["www-authenticate"] == "Bearer"


async def test_probes_are_answered_for_anybody(app: Starlette, keyed: tuple[Security, str]) -> None:
    async with client_of(app, keyed[0]) as client:
        codes = [(await client.get(path)).status_code for path in ("/livez", "/healthz", "/readyz")]

    assert codes == [200, 200, 200]


async def test_metrics_can_be_opened_for_a_scraper_without_a_key(app: Starlette, tmp_path: Path) -> None:
    create_key(tmp_path / "keys.json", "shop")
    security = with_keys(tmp_path / "keys.json", Protection(open_metrics=True))
    async with client_of(app, security) as client:
        metrics, page = await client.get("/metrics"), await client.get("/")

    assert (metrics.status_code, page.status_code) == (200, 401)


async def test_without_keys_a_service_that_is_reached_from_outside_answers_nobody(app: Starlette) -> None:
    async with client_of(app, url="http://192.0.2.7:3003") as client:
        answers = {path: (await client.get(path)).status_code for path in ("/", "/readyz", "/openapi.json", "/livez")}
        predict = await client.post("/predict", json=GOOD)

    assert answers == {"/": 503, "/readyz": 503, "/openapi.json": 503, "/livez": 200}
    assert predict.status_code == 503
    assert "docs/security.md" in predict.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3003", "127.0.0.1.evil.example", "192.0.2.7", ""])
async def test_without_keys_a_page_that_calls_loopback_by_its_own_name_is_refused(
    open_client: httpx.AsyncClient, host: str
) -> None:
    answer = await open_client.post("/predict", json=GOOD, headers={"host": host})

    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:3003", "127.0.0.1", "127.1.2.3:9", "[::1]:3003", "[::1]"])
async def test_every_name_of_loopback_is_taken(open_client: httpx.AsyncClient, host: str) -> None:
    assert (await open_client.post("/predict", json=GOOD, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("security", ["keys", "upstream"])
async def test_with_keys_or_a_proxy_that_asks_any_host_is_answered(
    app: Starlette, keyed: tuple[Security, str], security: str
) -> None:
    used = keyed[0] if security == "keys" else Security(Protection(upstream=True))
    async with client_of(app, used, url="http://scores.example") as client:
        answer = await client.post("/predict", json=GOOD, headers=bearer(keyed[1]))

    assert answer.status_code == 200


def test_a_process_that_listens_beyond_loopback_is_seen_whoever_asks() -> None:
    import socket

    scope = {"server": ("127.0.0.1", 3003)}
    with socket.socket() as local:
        local.bind(("127.0.0.1", 0))
        local.listen()
        assert "127.0.0.1" in listening_addresses()
        assert Exposure().problem(scope, {b"host": b"localhost"}) is None
        with socket.socket() as public:
            public.bind(("0.0.0.0", 0))
            public.listen()
            problem = Exposure().problem(scope, {b"host": b"localhost"})

    assert problem is not None
    assert problem[0] == 503


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "10.0.0.1", "example.org", "", "localhost.evil.org"])
def test_what_is_not_loopback_is_not_taken_for_it(host: str) -> None:
    assert not is_loopback(host)


# What may come, and how much of it at once


async def test_a_text_beyond_the_limit_is_refused_wherever_it_stands(live: Live) -> None:
    limits = Limits(text=64)
    bodies: list[Any] = [
        {**GOOD, "customer_id": "x" * 65},
        {"rows": [GOOD, {**GOOD, "channel": "x" * 65}]},
        {**GOOD, "x" * 65: 1},
        {**GOOD, "deep": [[{"a": ["x" * 65]}]]},
    ]
    async with client_of(create_app(Slot(live), limits)) as client:
        answers = [await client.post("/predict", json=body) for body in bodies]

    assert [answer.status_code for answer in answers] == [413] * 4
    assert all("longer than 64 characters" in answer.json()["error"] for answer in answers)
    assert all("xxx" not in answer.text for answer in answers)


async def test_the_limits_are_those_of_the_live_bundle(live: Live) -> None:
    from dataclasses import replace

    small = replace(live, bundle=replace(live.bundle, limits=Limits(rows=1)))
    async with client_of(create_app(Slot(small))) as client:
        one, two = [await client.post("/predict", json={"rows": [GOOD] * n}) for n in (1, 2)]

    assert (one.status_code, two.status_code) == (200, 413)


async def slow_body(parts: list[bytes], seconds: float) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(seconds)


async def test_a_body_that_does_not_end_in_time_is_given_up(app: Starlette) -> None:
    """Each part comes soon enough; all of them together do not."""
    security = Security(Protection(body_seconds=0.2))
    async with client_of(app, security) as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/predict", content=slow_body([b" "] * 20, 0.05), headers=headers)

    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"


async def test_bodies_that_come_in_parts_share_a_room(app: Starlette) -> None:
    security = Security(Protection(held_bytes=1000))
    headers = {"content-type": "application/json"}
    async with client_of(app, security) as client:
        full = await client.post("/predict", content=slow_body([b" " * 600, b" " * 600], 0), headers=headers)
        after = await client.post("/predict", json=GOOD)
        again = await client.post("/predict", content=slow_body([b" " * 600, b"{}"], 0), headers=headers)

    assert full.status_code == 503
    assert full.json()["error"].startswith("too much is being sent")
    assert (after.status_code, again.status_code) == (200, 422)


class Gate:
    """An app that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.open.wait()
        await PlainTextResponse("done")(scope, receive, send)


async def waiting(client: httpx.AsyncClient, count: int, **kwargs: Any) -> list["asyncio.Task[httpx.Response]"]:
    tasks = [asyncio.create_task(client.get("/x", **kwargs)) for _ in range(count)]
    await asyncio.sleep(0.05)
    return tasks


async def test_beyond_the_limit_requests_are_told_to_come_again_and_probes_are_not(app: Starlette) -> None:
    gate = Gate()
    security = Security(Protection(concurrency=2))
    async with client_of(gate, security) as client:
        running = await waiting(client, 2)
        refused = await client.get("/x")
        probe = asyncio.create_task(client.get("/livez"))
        gate.open.set()
        codes = [reply.status_code for reply in await asyncio.gather(*running)]
        after = await client.get("/x")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert codes == [200, 200]
    assert ((await probe).status_code, after.status_code) == (200, 200)
    assert security.refused["busy"] == 1


async def test_one_client_at_its_limit_leaves_the_others_alone(tmp_path: Path) -> None:
    first, second = (create_key(tmp_path / "keys.json", name) for name in ("first", "second"))
    gate = Gate()
    async with client_of(gate, with_keys(tmp_path / "keys.json", Protection(client_concurrency=1))) as client:
        running = await waiting(client, 1, headers=bearer(first))
        refused = await client.get("/x", headers=bearer(first))
        other = asyncio.create_task(client.get("/x", headers=bearer(second)))
        await asyncio.sleep(0.05)
        gate.open.set()
        await asyncio.gather(*running)

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (await other).status_code == 200


async def test_a_client_that_asks_too_often_is_told_when_it_may_again(app: Starlette) -> None:
    guarded = Security(Protection(client_per_second=2))
    async with client_of(app, guarded) as client:
        codes = [(await client.post("/predict", json=GOOD)).status_code for _ in range(6)]
        refused = await client.post("/predict", json=GOOD)
        await asyncio.sleep(float(refused.headers["retry-after"]))
        after = await client.post("/predict", json=GOOD)

    assert codes[:4] == [200] * 4
    assert codes[5] == 429
    assert after.status_code == 200


# What goes out


async def test_every_answer_says_how_a_browser_must_treat_it(
    open_client: httpx.AsyncClient, keyed: tuple[Security, str], app: Starlette
) -> None:
    answers = [
        await open_client.post("/predict", json=GOOD),
        await open_client.post("/predict", content=b"{"),
        await open_client.get("/"),
        await open_client.get("/readyz"),
        await open_client.get("/no-such-place"),
    ]
    async with client_of(app, keyed[0]) as client:
        answers.append(await client.get("/"))

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers.get_list("x-content-type-options")) == 1


async def test_the_page_may_run_its_own_scripts_only(open_client: httpx.AsyncClient) -> None:
    policy = (await open_client.get("/")).headers["content-security-policy"]
    script = "send('/predict')"
    with_script = page_policy(f"<p>x</p><script>{script}</script><SCRIPT src='a.js'></SCRIPT>")

    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    # openssl dgst -sha256 -binary | base64 of the script's text.
    assert "'sha256-" in with_script
    assert with_script.count("'sha256-") == 1


async def test_no_other_origin_may_call_unless_it_is_listed(app: Starlette, keyed: tuple[Security, str]) -> None:
    preflight = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    preflight["access-control-request-headers"] = "authorization, content-type"
    allowed = Security(Protection(origins=("https://shop.example",)), keyed[0].authentication)
    async with client_of(app, keyed[0]) as closed, client_of(app, allowed) as opened:
        off = await closed.options("/predict", headers=preflight)
        on = await opened.options("/predict", headers=preflight)
        other = await opened.options("/predict", headers={**preflight, "origin": "https://evil.example"})
        refused = await opened.post("/predict", json=GOOD, headers={"origin": "https://shop.example"})

    assert "access-control-allow-origin" not in off.headers
    assert on.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-credentials" not in on.headers
    assert "access-control-allow-origin" not in other.headers
    # A refusal must be readable, too, or the page cannot say what is wrong.
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://shop.example")


async def test_a_request_keeps_its_id_also_when_it_is_refused(app: Starlette, keyed: tuple[Security, str]) -> None:
    async with client_of(app, keyed[0]) as client:
        named = await client.get("/", headers={"x-request-id": "abc-1"})
        evil = await client.get("/", headers={"x-request-id": "a\tb<script>"})

    assert (named.headers["x-request-id"], named.json()["request_id"]) == ("abc-1", "abc-1")
    assert "script" not in evil.text + evil.headers["x-request-id"]


async def test_errors_of_others_are_replaced_by_ours_and_quote_nothing(live: Live) -> None:
    async def echoes(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        await PlainTextResponse(f"no {path}: Traceback in /home/me/secret.py", int(path[1:]))(scope, receive, send)

    async with client_of(echoes) as client:
        answers = {status: await client.get(f"/{status}") for status in (301, 307, 400, 404, 405, 418, 500, 503)}

    assert {status: answer.status_code for status, answer in answers.items()} == {
        **{status: status for status in answers},
        301: 404,
        307: 404,
    }
    for answer in answers.values():
        assert set(answer.json()) == {"error", "request_id"}
        assert "Traceback" not in answer.text
        assert "secret" not in answer.text


async def test_a_wrong_method_still_says_which_is_right(open_client: httpx.AsyncClient) -> None:
    answer = await open_client.get("/predict")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"].startswith("this address does not take this method")


async def test_a_trailing_slash_does_not_redirect_to_the_host_that_the_client_named(
    app: Starlette, keyed: tuple[Security, str]
) -> None:
    async with client_of(app, keyed[0]) as client:
        answer = await client.post("/predict/", json=GOOD, headers={"host": "evil.example", **bearer(keyed[1])})

    assert answer.status_code == 404
    assert "evil" not in str(answer.headers) + answer.text


async def test_what_nobody_foresaw_is_an_error_without_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("password is hunter2")

    async with client_of(breaks) as client:
        answer = await client.get("/x", headers={"x-request-id": "abc"})

    assert (answer.status_code, answer.json()) == (500, {"error": UNFORESEEN, "request_id": "abc"})
    assert "Request abc failed" in caplog.text
    assert "hunter2" in caplog.text


async def test_an_answer_that_breaks_half_way_is_not_begun_again() -> None:
    async def half(_: Any) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("broke")

        return StreamingResponse(parts())

    async with client_of(Starlette(routes=[Route("/x", half)])) as client:
        with pytest.raises(RuntimeError, match="broke"):
            await client.get("/x")


async def test_a_websocket_is_closed(app: Starlette) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await Guard(app, Security())({"type": "websocket", "path": "/predict", "headers": []}, receive, send)

    assert [message["type"] for message in sent] == ["websocket.close"]


# Settings


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    environment = {
        "MLPLATFORM_MAX_CONCURRENCY": "7",
        "MLPLATFORM_BODY_SECONDS": "2.5",
        "MLPLATFORM_CORS_ORIGINS": "https://a.example, https://b.example",
        "MLPLATFORM_OPEN_METRICS": "true",
    }
    protection = Protection.of(environment)

    assert (protection.concurrency, protection.body_seconds, protection.open_metrics) == (7, 2.5, True)
    assert protection.origins == ("https://a.example", "https://b.example")
    assert Protection.of({}) == Protection()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLPLATFORM_MAX_CONCURRENCY", "many"),
        ("MLPLATFORM_MAX_CONCURRENCY", "-1"),
        ("MLPLATFORM_BODY_SECONDS", "0"),
        ("MLPLATFORM_BODY_SECONDS", "nan"),
        ("MLPLATFORM_HEADER_SECONDS", "inf"),
        ("MLPLATFORM_AUTHENTICATED_UPSTREAM", "ja"),
    ],
)
def test_a_setting_that_is_not_understood_is_an_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(SecurityError, match=name):
        Security.of({name: value})


def test_tokens_without_issuer_and_audience_are_not_configured_by_half() -> None:
    with pytest.raises(SecurityError, match="issuer"):
        Security.of({"MLPLATFORM_JWKS": "/keys.json"})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"MLPLATFORM_API_KEYS": ""}, False),
        ({"MLPLATFORM_AUTHENTICATED_UPSTREAM": "false"}, False),
        ({"MLPLATFORM_AUTHENTICATED_UPSTREAM": "true"}, True),
        ({"MLPLATFORM_API_KEYS": "/keys.json"}, True),
        ({"MLPLATFORM_JWKS": "/jwks.json"}, True),
    ],
)
def test_what_lets_a_service_listen_beyond_loopback(environment: dict[str, str], expected: bool) -> None:
    assert authenticates(environment) is expected


def test_keys_in_the_environment_that_are_none_end_the_start() -> None:
    with pytest.raises(SecurityError, match="API keys in the environment"):
        Security.of({"MLPLATFORM_API_KEYS": json.dumps({"format": 1})})
