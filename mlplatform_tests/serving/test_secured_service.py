"""The promises of docs/security.md, asked of a real `bentoml serve` process that is configured as a user would."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlplatform.errors import SecurityError
from mlplatform.home import Home
from mlplatform.serving.api_keys import create_key, revoke_key
from mlplatform.serving.build import BuiltBento, build_bento
from mlplatform.serving.bundle import write_manifest
from mlplatform.serving.codec import dumps
from mlplatform.serving.launch import HOST, Listen, Served, ServiceError, start_service, stop_service
from mlplatform.serving.limits import Limits
from mlplatform.serving.signing import SIGNATURE, SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE
from mlplatform_tests.serving.conftest import GOOD, write_bundle
from mlplatform_tests.serving.test_launch import DEADLINE_SECONDS, deploy, free_port
from mlplatform_tests.serving.test_signing import write_keys

pytestmark = [
    pytest.mark.slow,
    # bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

HEADER_SECONDS = 1.0

# Python runs it in every process of the service before anything else; it writes down what unpickling would look up.
AUDIT = """
import os, pickle, sys, traceback
def note(line):
    with open(os.environ["AUDIT_FILE"], "a") as file:
        file.write(f"{os.getpid()} {line}\\n")
def hook(event, arguments):
    if event == "pickle.find_class":
        note(f"{event} {arguments} {''.join(traceback.format_stack(limit=6))!r}")
sys.addaudithook(hook)
note(f"started {' '.join(sys.orig_argv)!r}")
"""
CONTROL = "import collections, pickle; pickle.loads(pickle.dumps(collections.OrderedDict()))"


@dataclass(frozen=True)
class Secured:
    """A service with keys and a signature, its home, a key, and the notes of its audit."""

    served: Served
    home: Home
    key: str
    audit: Path

    def client(self, key: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.served.url, headers=headers, timeout=10, trust_env=False)

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.served.url)
        return url.host, url.port or 0


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def built(module_home: Home) -> Iterator[BuiltBento]:
    private, public = write_keys(module_home.root, "own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SIGNING_KEY_VARIABLE, str(private))
        patch.setenv(VERIFY_KEY_VARIABLE, str(public))
        bundle = write_bundle(module_home.root / "v1", "1")
        # Reasons of many rows are the work that takes long here.
        Limits(explained_rows=5000).save(bundle)
        write_manifest(bundle, "fraud", "1", {"run_id": "run-1"})
        yield build_bento(bundle, "fraud", 1, home=module_home)


@pytest.fixture(scope="module")
def secured(module_home: Home, built: BuiltBento) -> Iterator[Secured]:
    key = create_key(module_home.api_keys("fraud"), "shop")
    audit, hook = module_home.root / "audit.txt", module_home.root / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(AUDIT)
    deploy(module_home, built.bundle, "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hook))
        patch.setenv("AUDIT_FILE", str(audit))
        patch.setenv("MLPLATFORM_HEADER_SECONDS", str(HEADER_SECONDS))
        patch.setenv("MLPLATFORM_BODY_SECONDS", "1")
        patch.setenv("MLPLATFORM_ANSWER_SECONDS", "2")
        subprocess.run([sys.executable, "-c", CONTROL], check=True)
        served = start_service(built.tag, free_port(), module_home, module_home.deployment("fraud"))
    yield Secured(served, module_home, key, audit)
    stop_service(served.pid)


def test_a_key_opens_predictions_page_description_and_metrics_and_nothing_else_does(secured: Secured) -> None:
    asked = [("POST", "/predict"), ("GET", "/"), ("GET", "/openapi.json"), ("GET", "/metrics"), ("GET", "/schema.json")]
    with secured.client() as known, secured.client("mlp_wrong") as unknown:
        let_in = [known.request(method, path, json=GOOD).status_code for method, path in asked]
        kept_out = [unknown.request(method, path, json=GOOD).status_code for method, path in asked]

    assert let_in == [200] * 5
    assert kept_out == [401] * 5


def test_a_probe_without_a_key_learns_that_the_service_is_ready_and_no_more(secured: Secured) -> None:
    with secured.client() as known, secured.client("mlp_wrong") as unknown:
        told, hidden = known.get("/readyz"), unknown.get("/readyz")

    assert told.json()["model"]["version"] == "1"
    assert (hidden.status_code, hidden.json()) == (200, {"status": "ready"})


def test_a_new_key_is_taken_and_a_revoked_one_refused_within_seconds_without_a_restart(secured: Secured) -> None:
    file = secured.home.api_keys("fraud")
    key = create_key(file, "till")
    with secured.client(key) as client:
        wait_until(lambda: client.post("/predict", json=GOOD).status_code == 200)
        revoke_key(file, "till")
        wait_until(lambda: client.post("/predict", json=GOOD).status_code == 401)
    with secured.client() as others:
        assert others.post("/predict", json=GOOD).status_code == 200


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_bentoml_s_own_errors_are_json_with_an_id_and_quote_nothing(secured: Secured) -> None:
    with secured.client() as client:
        answers = [
            client.get("/no-such-place-<script>"),
            client.get("/predict"),
            client.post("/metrics"),
            client.get("/static_content/../../etc/passwd"),
            client.post("/predict/", json=GOOD, headers={"host": "evil.example"}),
        ]

    assert [answer.status_code for answer in answers] == [404, 405, 405, 404, 404]
    for answer in answers:
        assert set(answer.json()) == {"error", "request_id"}
        assert "script" not in answer.text
        assert "location" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_headers_that_never_end_lose_their_connection(secured: Secured) -> None:
    with socket.create_connection(secured.address, timeout=10) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        assert slow.recv(1000) == b""
        assert HEADER_SECONDS / 2 < time.monotonic() - began < 5 * HEADER_SECONDS


def test_headers_that_never_end_on_a_connection_that_was_used_before_lose_it_too(secured: Secured) -> None:
    with socket.create_connection(secured.address, timeout=10) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += slow.recv(4096)
        assert b" 200 " in answer
        slow.sendall(b"POST /predict HTTP/1.1\r\n")
        assert slow.recv(1000) == b""


def test_headers_without_end_are_cut_off(secured: Secured) -> None:
    with socket.create_connection(secured.address, timeout=10) as greedy:
        greedy.sendall(b"GET /livez HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(200):
                greedy.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
        with contextlib.suppress(ConnectionError):
            assert b" 431 " in greedy.recv(4096)


@pytest.mark.parametrize(("kib", "status"), [(60, b" 200 "), (66, b" 431 "), (120, b" 431 ")])
def test_headers_of_more_than_64_kib_are_refused_also_when_they_come_at_once(
    secured: Secured, kib: int, status: bytes
) -> None:
    with socket.create_connection(secured.address, timeout=10) as large:
        large.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-A: %s\r\n" % (b"x" * 1017) * kib + b"\r\n")
        answer = large.recv(4096)
        # One answer, whatever comes behind it.
        assert status in answer.partition(b"\r\n")[0]
        assert answer.count(b"HTTP/1.1") == 1


def test_bodies_of_any_size_pass_on_one_connection(secured: Secured) -> None:
    with secured.client() as client:
        for rows in (1, 200, 400, 700, 1000, 2000, 5000, 3):
            answer = client.post("/predict", json={"rows": [GOOD] * rows, "explain": False})
            assert (answer.status_code, len(answer.json()["predictions"])) == (200, rows)


def test_a_client_that_leaves_requests_behind_each_other_is_no_error_in_the_log(secured: Secured) -> None:
    body = dumps({"rows": [GOOD] * 300, "explain": False})
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secured.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(10):
        with socket.create_connection(secured.address, timeout=10) as leaving:
            leaving.sendall((head.encode() + body) * 5)
    with secured.client() as client:
        assert client.post("/predict", json=GOOD).status_code == 200
    assert "Traceback" not in secured.served.log.read_text()


def test_headers_behind_a_request_that_is_being_answered_are_limited_too(secured: Secured) -> None:
    body = dumps({"rows": [GOOD] * 5000, "explain": True})
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secured.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(secured.address, timeout=10) as greedy:
        greedy.sendall(head.encode() + body + b"GET /livez HTTP/1.1\r\n")
        endless = b"X-A: %s\r\n" % (b"x" * 10_000) * 10_000
        with pytest.raises(ConnectionError):
            greedy.sendall(endless)


def test_an_answer_that_nobody_reads_loses_its_connection_and_is_counted(secured: Secured) -> None:
    body = dumps({"rows": [GOOD] * 5000, "explain": False})
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secured.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    before = refused(secured, "unread")
    with socket.socket() as deaf:
        # A small window, so that little of the answer finds room in the system's buffers.
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(10)
        deaf.connect(secured.address)
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                deaf.sendall(head.encode() + body)
        wait_until(lambda: refused(secured, "unread") > before)
        with secured.client() as client:
            assert client.post("/predict", json=GOOD).status_code == 200


def test_long_work_is_not_begun_for_clients_that_have_gone(secured: Secured) -> None:
    body = dumps({"rows": [GOOD] * 5000, "explain": True})
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secured.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with contextlib.ExitStack() as opened:
        for _ in range(60):
            leaving = opened.enter_context(socket.create_connection(secured.address, timeout=10))
            leaving.sendall(head.encode() + body)
    # Some had begun; the most of them had not.
    wait_until(lambda: counted(secured, "requests", route="/predict", status="499") > 20)
    with secured.client() as client:
        assert client.post("/predict", json=GOOD).status_code == 200


def refused(secured: Secured, reason: str) -> float:
    return counted(secured, "requests_refused", reason=reason)


def counted(secured: Secured, name: str, **labels: str) -> float:
    with secured.client() as client:
        text = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families[f"mlplatform_{name}"].samples
    return sum(each.value for each in samples if labels.items() <= each.labels.items())


def test_a_body_that_never_ends_is_answered_and_cut_off(secured: Secured) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secured.key}\r\n"
    with socket.create_connection(secured.address, timeout=10) as slow:
        slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        answer = slow.recv(4096)
        while chunk := slow.recv(4096):
            answer += chunk

    assert b" 408 " in answer
    assert b"connection: close" in answer.lower()


def test_quick_requests_pass_while_slow_ones_hang(secured: Secured) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(100):
            slow = opened.enter_context(socket.create_connection(secured.address, timeout=10))
            slow.sendall(b"POST /predict HTTP/1.1\r\n")
        with secured.client() as client:
            assert client.post("/predict", json=GOOD).status_code == 200


def test_an_unsigned_deployment_is_refused_and_the_old_one_keeps_serving(secured: Secured) -> None:
    unsigned = write_bundle(secured.home.root / "v2", "2")
    (unsigned / SIGNATURE).unlink()
    deploy(secured.home, unsigned, "2")
    with secured.client() as client, secured.client("mlp_wrong") as unknown:
        wait_until(lambda: client.get("/readyz").json()["status"] == "degraded")
        told, hidden = client.get("/readyz").json(), unknown.get("/readyz")
        answer = client.post("/predict", json=GOOD)
        deploy(secured.home, write_bundle(secured.home.root / "v3", "3"), "3")
        wait_until(lambda: client.post("/predict", json=GOOD).json()["model"]["version"] == "3")

    assert "not signed" in told["problem"]
    assert hidden.json() == {"status": "degraded"}  # paths of this machine are not for everybody
    assert answer.json()["model"]["version"] == "1"


def test_loading_and_answering_unpickles_nothing(secured: Secured) -> None:
    with secured.client() as client:
        deploy(secured.home, write_bundle(secured.home.root / "v4", "4"), "4")
        wait_until(lambda: client.post("/predict", json=GOOD).json()["model"]["version"] == "4")
        client.post("/predict", json={"rows": [GOOD] * 100})
    lines = secured.audit.read_text().splitlines()
    workers = {line.split()[0] for line in lines if "_bentoml_impl.worker.service" in line}
    control = lines[0].split()[0]
    found = [line for line in lines if "pickle.find_class" in line]

    # The hook was there, and it can tell.
    assert workers
    assert [line.split()[0] for line in found[:1]] == [control]
    assert [line for line in found if line.split()[0] != control] == []


# Other ways to serve


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-days", "2", "-subj", "/CN=localhost", "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    return certificate, key


def test_with_a_certificate_the_service_speaks_tls_only(
    built: BuiltBento, module_home: Home, certificate: tuple[Path, Path]
) -> None:
    served = start_service(built.tag, free_port(), module_home, listen=Listen(HOST, *certificate))
    try:
        trusting = ssl.create_default_context(cafile=certificate[0])
        with httpx.Client(base_url=served.url, verify=trusting, trust_env=False) as client:
            answer = client.post("/predict", json=GOOD)
        with pytest.raises(httpx.TransportError):
            httpx.get(served.url.replace("https", "http") + "/livez", trust_env=False)
    finally:
        stop_service(served.pid)

    assert served.url.startswith("https://")
    assert answer.status_code == 200


def test_served_by_hand_on_all_addresses_without_a_key_it_never_becomes_ready_and_answers_nobody(
    built: BuiltBento, module_home: Home
) -> None:
    """What a container does. It listens beyond loopback for a moment, and the point is that it does not answer."""
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", built.tag, "--host", "0.0.0.0", "--port", str(port)]
    with subprocess.Popen(
        command,
        env={**os.environ, **module_home.environment()},
        cwd=module_home.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=10, trust_env=False) as client:
                wait_until(lambda: answers(client, "/livez"))
                ready, predict, page = client.get("/readyz"), client.post("/predict", json=GOOD), client.get("/")
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)

    assert [answer.status_code for answer in (ready, predict, page)] == [503] * 3
    assert "neither API keys nor tokens" in predict.json()["error"]


def answers(client: httpx.Client, path: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get(path).status_code == 200
    return False


def test_start_refuses_a_public_address_without_a_key(module_home: Home) -> None:
    with pytest.raises(SecurityError, match="mlplatform keys create"):
        start_service("fraud:v1", free_port(), Home(module_home.root / "empty"), listen=Listen("0.0.0.0"))


def test_half_a_certificate_and_a_host_that_is_no_address_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="both"):
        Listen(certificate=tmp_path / "tls.crt")
    with pytest.raises(ServiceError, match="no such file"):
        Listen(HOST, tmp_path / "tls.crt", tmp_path / "tls.key")
    with pytest.raises(ServiceError, match="takes an address"):
        Listen("localhost")
