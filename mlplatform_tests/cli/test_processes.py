import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from mlplatform.cli.demo import free_port
from mlplatform.cli.orphans import end_orphans
from mlplatform.cli.processes import answers, require_free, start_part, stop_parts
from mlplatform.cli.serve import find_service, start_live
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.pointer import Pointer, write_pointer

FAMILY = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; {ignore}; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def start_family(logs: Path, ignore: str = "pass"):
    part = start_part(
        "family",
        1,
        [sys.executable, "-c", FAMILY.format(ignore=ignore)],
        logs=logs,
        folder=logs,
        environment=os.environ,
    )
    while not part.log.read_text().strip():
        time.sleep(0.02)
    return part, int(part.log.read_text())


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_stopping_a_part_ends_its_children_too(tmp_path: Path) -> None:
    part, child = start_family(tmp_path)
    stop_parts([part])
    assert part.process.returncode is not None
    assert not is_running(child)


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlplatform.cli.processes._GRACE_SECONDS", 0.5)
    part, child = start_family(tmp_path, ignore="signal.signal(signal.SIGINT, signal.SIG_IGN)")
    time.sleep(0.3)
    stop_parts([part])
    end = time.monotonic() + 5
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(child)


def test_a_background_job_still_hears_an_interrupt() -> None:
    script = """
from time import sleep
from mlplatform.cli.processes import end_on_signals
end_on_signals()
print("ready", flush=True)
sleep(60)
"""
    started = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    with started:
        assert started.stdout is not None
        started.stdout.readline()
        started.send_signal(signal.SIGINT)
        assert started.wait(timeout=10) != 0


def test_free_ports_are_no_error() -> None:
    assert not answers(9)
    require_free({9: "nobody"})


class Ready(BaseHTTPRequestHandler):
    """Answers like the service of one use case."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ready", "model": {"use_case": "diagnosis"}}')

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_service_is_found_by_its_use_case_whatever_else_answers_on_the_ports() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        nobody, port = free_port(), server.server_port
        assert find_service("diagnosis", [nobody, port]) == f"http://127.0.0.1:{port}"
        with pytest.raises(PlatformError, match=f"no service of fraud answers on port {nobody} or {port}"):
            find_service("fraud", [nobody, port])
        server.shutdown()


def test_a_taken_port_is_named_with_who_wants_it() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PlatformError, match=rf"{taken.getsockname()[1]} \(MLflow\)"):
            require_free({taken.getsockname()[1]: "MLflow"})


def started_run(instance: dg.DagsterInstance, pid: int) -> str:
    @dg.job
    def nothing() -> None: ...

    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    instance.report_engine_event(
        "Executing steps", run, EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))})
    )
    return run.run_id


def test_a_run_whose_process_is_gone_counts_as_failed() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        gone, alive = started_run(instance, ended.pid), started_run(instance, os.getpid())
        assert end_orphans(instance) == [gone]
        assert instance.get_run_by_id(gone).status is dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(alive).status is dg.DagsterRunStatus.STARTED
        assert end_orphans(instance) == []


def test_a_port_on_which_the_same_use_case_is_served_already_is_told_as_that(home: Home) -> None:
    write_pointer(home.deployment("diagnosis"), Pointer("diagnosis", "diagnosis:v1", "1", "", "2026-01-01T00:00:00"))
    write_pointer(home.deployment("fraud"), Pointer("fraud", "fraud:v1", "1", "", "2026-01-01T00:00:00"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(
            PlatformError, match=f"diagnosis is served at http://127.0.0.1:{server.server_port} already"
        ):
            start_live("diagnosis", server.server_port, home)
        with pytest.raises(PlatformError, match=f"port {server.server_port} on 127.0.0.1 is taken"):
            start_live("fraud", server.server_port, home)
        server.shutdown()
