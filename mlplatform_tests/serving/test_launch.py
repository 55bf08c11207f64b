"""One real `bentoml serve` process from start to stop; everything else about the service is tested in process."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform.serving.bundle import write_manifest
from mlplatform.serving.challenger import Challenger, write_challenger
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.launch import HOST, Served, ServiceError, serve_command, start_service, stop_service
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform.serving.segments import segments
from mlplatform.serving.served import served_folder
from mlplatform_tests.serving.conftest import GOOD, write_bundle

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

CLIENTS = 4
REQUESTS_PER_VERSION = 300
DEADLINE_SECONDS = 30


# A leader that waits, and a member of its group that runs what it is told; both write to the leader's stdout.
LEADER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
SLEEPS = "import time; print('member', flush=True); time.sleep(60)"
STOPS_ITS_OWN_GROUP = (
    "import os; from mlplatform.serving.launch import stop_service; stop_service(os.getpgrp()); print('survived')"
)


def lead_a_group(member: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", LEADER, member], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def deploy(home: Home, folder: Path, version: str) -> None:
    pointer = Pointer("fraud", f"fraud:v{version}", version, str(folder), "2018-08-01T00:00:00")
    write_pointer(home.deployment("fraud"), pointer)


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def served(module_home: Home) -> Iterator[Served]:
    built = build_bento(write_bundle(module_home.root / "v1", "1"), "fraud", 1, home=module_home)
    deploy(module_home, built.bundle, "1")
    running = start_service(built.tag, free_port(), module_home, module_home.deployment("fraud"))
    yield running
    stop_service(running.pid)


async def send_until(client: httpx.AsyncClient, last_version: str, seen: Counter[tuple[int, str]]) -> None:
    """Send until the last version has answered often enough; every answer is counted by status and version."""
    while seen[200, last_version] < REQUESTS_PER_VERSION:
        response = await client.post("/predict", json=GOOD)
        seen[response.status_code, response.json().get("model", {}).get("version", "none")] += 1


@pytest.mark.slow
async def test_a_hot_swap_under_load_fails_no_request(served: Served, module_home: Home) -> None:
    second = write_bundle(module_home.root / "v2", "2")
    seen: Counter[tuple[int, str]] = Counter()
    async with httpx.AsyncClient(base_url=served.url, timeout=10, trust_env=False) as client:
        load = asyncio.gather(*(send_until(client, "2", seen) for _ in range(CLIENTS)))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while seen[200, "1"] < REQUESTS_PER_VERSION:
                await asyncio.sleep(0.01)
            deploy(module_home, second, "2")
            await load

    assert set(seen) == {(200, "1"), (200, "2")}
    assert seen.total() >= 2 * REQUESTS_PER_VERSION


@pytest.mark.slow
async def test_a_broken_bundle_leaves_the_old_one_serving_and_shows_in_readiness(
    served: Served, module_home: Home
) -> None:
    broken = write_bundle(module_home.root / "v3", "3")
    (broken / "model.txt").write_text("tampered")
    async with httpx.AsyncClient(base_url=served.url, timeout=10, trust_env=False) as client:
        before = (await client.get("/readyz")).json()["model"]["version"]
        deploy(module_home, broken, "3")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await client.get("/readyz")).json()["status"] == "ready":
                await asyncio.sleep(0.1)
        ready = await client.get("/readyz")
        answer = await client.post("/predict", json=GOOD)
        metrics = (await client.get("/metrics")).text

    assert ready.status_code == answer.status_code == 200
    assert "changed model.txt" in ready.json()["problem"]
    assert answer.json()["model"]["version"] == before != "3"
    assert 'mlplatform_deployment_refused{worker="1"} 1' in metrics
    assert "Deployment refused" in served.log.read_text()


@pytest.mark.slow
async def test_a_challenger_is_followed_in_place_and_ends_with_its_file(served: Served, module_home: Home) -> None:
    deploy(module_home, write_bundle(module_home.root / "v4", "4"), "4")
    folder, file = write_bundle(module_home.root / "v5", "5"), module_home.challenger("fraud")
    async with httpx.AsyncClient(base_url=served.url, timeout=10, trust_env=False) as client:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await answered_by(client)) != "4":
                await asyncio.sleep(0.1)
            write_challenger(file, Challenger("fraud", "fraud:v5", "5", str(folder), "canary", 1.0, "2018-08-01"))
            while (await answered_by(client)) != "5":
                await asyncio.sleep(0.1)
            ready, metrics = (await client.get("/readyz")).json(), (await client.get("/metrics")).text
            file.unlink()
            while (await answered_by(client)) != "4":
                await asyncio.sleep(0.1)
        after = (await client.get("/readyz")).json()

    assert (ready["model"]["version"], ready["challenger"]["version"]) == ("4", "5")
    assert re.search(r'mlplatform_challenger_info\{[^}]*version="5"', metrics)
    assert "challenger" not in after


async def answered_by(client: httpx.AsyncClient) -> str:
    reply = await client.post("/predict", json=GOOD)
    assert reply.status_code == 200
    return str(reply.json()["model"]["version"])


@pytest.mark.slow
async def test_bentoml_s_own_routes_answer_beside_ours(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=10, trust_env=False) as client:
        codes = {path: (await client.get(path)).status_code for path in ("/livez", "/healthz", "/metrics", "/", "/x")}
        metrics = (await client.get("/metrics")).text

    assert codes == {"/livez": 200, "/healthz": 200, "/metrics": 200, "/": 200, "/x": 404}
    assert "mlplatform_requests_total" in metrics


@pytest.mark.slow
def test_stopping_ends_every_process_and_frees_the_port(served: Served, module_home: Home) -> None:
    stop_service(served.pid)

    with pytest.raises(ProcessLookupError):
        os.killpg(served.pid, 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.url}/livez", trust_env=False)


@pytest.mark.slow
def test_a_worker_whose_leader_was_killed_ends_by_itself_and_keeps_what_it_answered(home: Home) -> None:
    folder = write_bundle(home.root / "v1", "1")
    # Only a worker that ends in order writes before so long a time is over.
    JournalSettings(enabled=True, flush_seconds=60).save(folder)
    write_manifest(folder, "fraud", "1")
    built = build_bento(folder, "fraud", 1, home=home)
    deploy(home, built.bundle, "1")
    served = start_service(built.tag, free_port(), home, home.deployment("fraud"))
    try:
        for _ in range(20):
            assert httpx.post(f"{served.url}/predict", json=GOOD, trust_env=False).status_code == 200
        workers = psutil.Process(served.pid).children(recursive=True)
        os.kill(served.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=DEADLINE_SECONDS)
        assert workers
        assert not alive
    finally:
        stop_service(served.pid)
    kept = [line for each in segments(home.journal("fraud")) for line in each.lines(0, 10**6)[0]]
    assert len(kept) == 20
    assert not list(served_folder(home.deployment("fraud")).iterdir()), "nothing says that it still serves"


def test_what_is_left_of_a_group_ends_after_its_leader_was_killed() -> None:
    with lead_a_group(SLEEPS) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == "member\n"
        leader.send_signal(signal.SIGKILL)
        leader.wait()
        began = time.monotonic()
        stop_service(leader.pid)

        assert leader.stdout.read() == ""  # the end of the pipe: nobody is left who holds it
    assert time.monotonic() - began < 10


def test_a_caller_in_the_group_is_not_ended_with_it() -> None:
    with lead_a_group(STOPS_ITS_OWN_GROUP) as leader:
        assert leader.wait(timeout=30) == -signal.SIGTERM
        assert leader.stdout is not None
        assert leader.stdout.read() == "survived\n"


def test_a_taken_port_is_an_error_that_names_it(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"port {port} on 127.0.0.1 is taken"):
            start_service("fraud:v1", port, home)


def test_the_command_binds_loopback_only() -> None:
    command = serve_command("fraud:v1", 3000)

    assert command[command.index("--host") + 1] == "127.0.0.1"
