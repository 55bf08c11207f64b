"""The four servers, each started the way its own documentation says, with one worker on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform.serving.launch import HOST, start_service, stop_service

__all__ = ["MANY", "Stack", "free_port", "started_stacks"]

READY_SECONDS = 180
BENTOML = ["-m", "bentoml", "serve", "benchmarks._serving_bentoml:Documented"]
MLFLOW = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
INVOKE = "/invocations"
MANY = 100
FASTAPI = ["-m", "uvicorn", "benchmarks._serving_fastapi:app", "--log-level", "warning", "--no-access-log"]


@dataclass(frozen=True)
class Stack:
    """A server that answers. `body`: a file with the request, as this stack wants it; `rows`: how many it asks for."""

    name: str
    port: int
    path: str
    body: Path
    pid: int
    rows: int = 1


@contextmanager
def started_stacks(folder: Path, home: Home, row: dict[str, float]) -> Iterator[list[Stack]]:
    """All servers up; all down at the end. Ours comes twice, with and without explanation; each then once more with
    MANY rows in a request."""

    def body(name: str, content: dict[str, Any]) -> Path:
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    with ExitStack() as stack:
        port, pid = stack.enter_context(_ours(folder / "bundle", home))
        stacks = [
            Stack("mlplatform", port, "/predict", body("plain", {**row, "explain": False}), pid),
            Stack("mlplatform explained", port, "/predict", body("explained", {**row, "explain": True}), pid),
        ]
        rows = [row] * MANY
        several = [
            Stack("mlplatform", port, "/predict", body("many", {"rows": rows, "explain": False}), pid, MANY),
            Stack(
                "mlplatform explained", port, "/predict", body("reasons", {"rows": rows, "explain": True}), pid, MANY
            ),
        ]
        served = ("-m", str(folder / "mlflow"))
        for name, path, many_path, content, many, command in (
            ("bentoml", "/predict", "/predict_rows", {"row": row}, {"rows": rows}, BENTOML),
            ("mlflow", INVOKE, INVOKE, {"dataframe_records": [row]}, {"dataframe_records": rows}, [*MLFLOW, *served]),
            ("fastapi", "/predict", "/predict_rows", row, {"rows": rows}, FASTAPI),
        ):
            peer = Stack(name, free_port(), path, body(name, content), pid=0)
            pid = stack.enter_context(_peer(peer, command, folder, home))
            stacks.append(replace(peer, pid=pid))
            several.append(replace(peer, pid=pid, path=many_path, body=body(f"{name}-many", many), rows=MANY))
        yield stacks + several


@contextmanager
def _ours(bundle: Path, home: Home) -> Iterator[tuple[int, int]]:
    built = build_bento(bundle, "bench", 1, home=home)
    served = start_service(built.tag, free_port(), home, timeout_seconds=READY_SECONDS)
    try:
        yield int(served.url.rpartition(":")[2]), served.pid
    finally:
        stop_service(served.pid)


@contextmanager
def _peer(peer: Stack, command: list[str], folder: Path, home: Home) -> Iterator[int]:
    environment = {**os.environ, **home.environment(), "BENCHMARK_MODEL": str(folder / "plain")}
    # mlflow starts uvicorn by its name
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = folder / f"{peer.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--host", HOST, "--port", str(peer.port)],
            env=environment,
            cwd=Path(__file__).parents[1],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, peer, log)
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _wait(process: "subprocess.Popen[bytes]", peer: Stack, log: Path) -> None:
    url = f"http://{HOST}:{peer.port}{peer.path}"
    end = time.monotonic() + READY_SECONDS
    headers = {"Content-Type": "application/json"}
    while process.poll() is None and time.monotonic() < end:
        try:
            answer = httpx.post(url, content=peer.body.read_bytes(), headers=headers, timeout=10, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == httpx.codes.OK:
            return
        raise RuntimeError(f"{url} answered {answer.status_code}: {answer.text[:500]}")
    raise RuntimeError(f"{url} did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
