"""The service as an image runs it: real processes, started with the image's packages and nothing else."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlplatform.home import Home
from mlplatform.serving.api_keys import create_key
from mlplatform.serving.build import BuiltBento
from mlplatform.serving.launch import start_service, stop_service
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.image_tree import (
    PYTHON,
    ImageTree,
    free_port,
    journalled,
    journalling_bento,
    slim,
    write_image_tree,
)

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

THIRD_PARTIES = {
    *("annotated_types", "anyio", "click", "cython_runtime", "h11", "httptools", "idna", "numpy"),
    *("orjson", "pydantic", "pydantic_core", "sniffio", "starlette", "typing_extensions"),
    *("typing_inspection", "uvicorn", "uvloop"),
}
"""All that a slim service imports up to its first answer. What is added here is paid at every cold start."""
WHERE_INSTALLED = {"a2wsgi", "python_multipart", "watchfiles", "websockets", "gunicorn"}
"""What starlette and uvicorn take up themselves where it is there; no image has it."""

# Asks once, then has the process ended, and prints what is imported.
ANSWERS_ONCE = """
import json, os, signal, sys, threading, time, urllib.request
from mlplatform.serving import slim

def ask():
    request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"content-type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request) as answer:
                print(json.load(answer)["score"])
            break
        except OSError:
            time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

before = set(sys.modules)
threading.Thread(target=ask).start()
assert slim.main(["--port", sys.argv[1].split(":")[2].split("/")[0]]) == 0
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(name for name in tops - set(sys.stdlib_module_names) if not name.startswith("_")))
"""


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def built(module_home: Home) -> BuiltBento:
    return journalling_bento(module_home)


@pytest.fixture(scope="module")
def tree(built: BuiltBento, tmp_path_factory: pytest.TempPathFactory) -> ImageTree:
    return write_image_tree(built.path, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def running(tree: ImageTree) -> Iterator[str]:
    port = free_port()
    with slim(tree, port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("everything_is_installed", [True, False])
def test_up_to_its_first_answer_it_imports_only_what_it_answers_with(
    tree: ImageTree, everything_is_installed: bool
) -> None:
    """Also where pandas, scikit-learn, LightGBM's package and BentoML are there."""
    url = f"http://127.0.0.1:{free_port()}/predict"
    python = [sys.executable] if everything_is_installed else [*PYTHON]
    environment = dict(os.environ) if everything_is_installed else tree.environment
    command = [*python, "-c", ANSWERS_ONCE, url, json.dumps(GOOD)]
    done = subprocess.run(command, cwd=tree.source, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    score, imported = done.stdout.splitlines()

    assert 0 < float(score) < 1
    allowed = THIRD_PARTIES | (WHERE_INSTALLED if everything_is_installed else set())
    assert set(imported.split()) - {"mlplatform"} <= allowed


@pytest.mark.slow
def test_it_answers_what_bentoml_answers(built: BuiltBento, running: str, module_home: Home) -> None:
    served = start_service(built.tag, free_port(), module_home)
    try:
        for method, path, body in (
            ("POST", "/predict", json.dumps(GOOD)),
            ("POST", "/predict", json.dumps({"rows": [GOOD, {**GOOD, "amount": 9.5, "risk": 0.9}] * 20})),
            ("POST", "/predict", json.dumps({**GOOD, "amount": -1, "chanel": "chip"})),
            ("POST", "/predict", "{"),
            ("POST", "/score", json.dumps(GOOD)),
            ("POST", "/v2/models/fraud/infer", "{}"),
            ("GET", "/v2/models/fraud", None),
            ("GET", "/openapi.json", None),
            ("GET", "/", None),
            ("GET", "/readyz", None),
            ("GET", "/livez", None),
            ("GET", "/nowhere", None),
            ("PUT", "/predict", None),
        ):
            ours, bentoml = (answered(url, method, path, body) for url in (running, served.url))
            assert ours == bentoml, (method, path)
    finally:
        stop_service(served.pid)


def answered(url: str, method: str, path: str, body: str | None) -> tuple[int, dict[str, str], str]:
    reply = httpx.request(
        method, url + path, content=body, headers={"content-type": "application/json"}, trust_env=False
    )
    headers = {name: value for name, value in reply.headers.items() if name not in ("date", "x-request-id", "server")}
    return reply.status_code, headers, re.sub(r'"request_id":"[0-9a-f]{32}"', "", reply.text)


def test_metrics_and_readiness_tell_of_it(running: str) -> None:
    answered(running, "POST", "/predict", json.dumps(GOOD))
    metrics = answered(running, "GET", "/metrics", None)[2]

    assert re.search(r'mlplatform_requests_total\{route="/predict",status="200",worker="1"\} [1-9]', metrics)
    assert 'use_case="fraud"' in metrics


def test_it_does_not_listen_for_all_while_it_knows_no_keys(tree: ImageTree) -> None:
    command = [*PYTHON, "-m", "mlplatform.serving.slim", "--host", "0.0.0.0"]
    done = subprocess.run(command, cwd=tree.source, env=tree.environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "SecurityError: --host 0.0.0.0 lets others ask this service, and it knows no keys" in done.stderr


def test_with_keys_it_listens_for_all_and_answers_who_has_one(tree: ImageTree, tmp_path: Path) -> None:
    key, port = create_key(tmp_path / "keys.json", "shop"), free_port()
    keys = {"MLPLATFORM_API_KEYS": (tmp_path / "keys.json").read_text()}
    with slim(tree, port, keys, ["--host", "0.0.0.0"]):
        url = f"http://127.0.0.1:{port}"
        known = httpx.post(f"{url}/predict", json=GOOD, headers={"x-api-key": key}, trust_env=False)
        unknown = httpx.post(f"{url}/predict", json=GOOD, trust_env=False)
        ready = httpx.get(f"{url}/readyz", trust_env=False)

    assert (known.status_code, unknown.status_code) == (200, 401)
    assert ready.json() == {"status": "ready"}


def test_asked_to_end_it_finishes_what_is_under_way_and_writes_the_journal(tree: ImageTree, tmp_path: Path) -> None:
    port, body = free_port(), json.dumps(GOOD).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\nx-request-id: last\r\ncontent-type: application/json\r\n"
    environment = {"MLPLATFORM_JOURNAL": str(tmp_path / "journal")}
    with (
        slim(tree, port, environment) as process,
        socket.create_connection(("127.0.0.1", port), timeout=20) as half,
    ):
        half.sendall(head + f"content-length: {len(body)}\r\n\r\n".encode() + body[:10])
        # Answered behind it on the same loop: the half request is under way by then.
        httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False)
        process.send_signal(signal.SIGTERM)
        while accepts(port):
            pass
        half.sendall(body[10:])
        reply = half.recv(65536)
        assert process.wait(timeout=20) == 0

    assert reply.startswith(b"HTTP/1.1 200")
    assert [line["request_id"] for line in journalled(tmp_path / "journal")] == ["last"]


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_request_that_does_not_end_is_cut_off_at_the_end_of_the_grace(tree: ImageTree) -> None:
    port = free_port()
    with (
        slim(tree, port, arguments=["--grace", "1"]) as process,
        socket.create_connection(("127.0.0.1", port), timeout=20) as half,
    ):
        half.sendall(b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n")
        half.sendall(b"content-length: 100\r\n\r\n{")
        httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_its_health_check_says_whether_it_is_ready(tree: ImageTree, running: str) -> None:
    command = [*PYTHON, "-m", "mlplatform.serving.ready"]
    codes = [
        subprocess.run(command, cwd=tree.source, env={**tree.environment, "PORT": port}, timeout=60).returncode
        for port in (running.rpartition(":")[2], str(free_port()))
    ]
    assert codes == [0, 1]


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", ""])
def test_a_port_that_is_none_is_named(tree: ImageTree, port: str) -> None:
    command, environment = [*PYTHON, "-m", "mlplatform.serving.slim"], {**tree.environment, "PORT": port}
    done = subprocess.run(command, cwd=tree.source, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert f"PORT={port!r}: take the number of a port" in done.stderr


def test_another_bento_is_served_by_its_folder(built: BuiltBento, tree: ImageTree, tmp_path: Path) -> None:
    port = free_port()
    shutil.rmtree(tree.source / "bundle", ignore_errors=True)
    with slim(tree, port, arguments=[str(built.path)]):
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).json()
    shutil.copytree(built.bundle, tree.source / "bundle")
    assert ready["model"]["bento"] == built.tag
