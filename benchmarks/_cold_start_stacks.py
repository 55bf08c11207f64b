"""How each stack is started: with the packages of its own image and no others, and asked until it answers."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from mlplatform.home import Home
from mlplatform.serving.launch import serve_command, serve_environment
from mlplatform.serving.recipe.packages import WITHOUT_DEPENDENCIES, closure
from mlplatform_tests.serving.image_tree import PYTHON, ImageTree, compile_all, copy_packages, free_port
from mlplatform_tests.serving.lambda_runtime import HANDLER, function_environment, http_event, runtime_api

__all__ = ["Stack", "Started", "bare", "bentoml", "first_answer", "function", "slim", "write_bare"]

SECONDS = 120
HOST = "127.0.0.1"
OF_BARE = ("httptools", "lightgbm", "narwhals", "numpy", "scipy", "uvicorn", "uvloop")
"""What `pip install lightgbm uvicorn httptools uvloop` installs, with what these require."""


@dataclass(frozen=True)
class Stack:
    """One way to start. `command`: of a port."""

    name: str
    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str]
    folder: Path
    is_function: bool = False


@dataclass(frozen=True)
class Started:
    """From the start of the process to the first correct answer; memory of all its processes then, resident."""

    seconds: float
    megabytes: float
    modules: int


def write_bare(folder: Path) -> Path:
    """The packages of the peer's image."""
    assert {"lightgbm"} == WITHOUT_DEPENDENCIES, "the peer has them all"
    copy_packages(closure(OF_BARE), folder / "packages")
    (folder / "app").mkdir()
    source = Path(__file__).with_name("_cold_start_bare.py")
    (folder / "app" / "bare.py").write_bytes(source.read_bytes())
    compile_all(folder / "packages", folder / "app")
    return folder


def bare(folder: Path, model: Path) -> Stack:
    def command(port: int) -> Sequence[str]:
        return [*PYTHON, "-m", "uvicorn", "bare:app", "--port", str(port), "--log-level", "warning"]

    environment = {"PATH": os.defpath, "PYTHONPATH": str(folder / "packages"), "BENCHMARK_MODEL": str(model)}
    return Stack("bare uvicorn + LightGBM", command, environment, folder / "app")


def slim(tree: ImageTree) -> Stack:
    def command(port: int) -> Sequence[str]:
        return [*PYTHON, "-m", "mlplatform.serving.slim", "--port", str(port)]

    return Stack("slim", command, tree.environment, tree.source)


def function(tree: ImageTree) -> Stack:
    environment = {**tree.environment, "MLPLATFORM_AUTHENTICATED_UPSTREAM": "true"}
    return Stack("Lambda handler", lambda _: [*PYTHON, "-m", "awslambdaric", HANDLER], environment, tree.source, True)


def bentoml(tag: str, home: Home) -> Stack:
    return Stack("bentoml serve", lambda port: serve_command(tag, port), serve_environment(home, None), home.root)


def first_answer(stack: Stack, row: Mapping[str, float], score: float, *, profiled: bool = False) -> Started:
    """Start, ask until the score is right, and end. `profiled`: count imports, which takes time."""
    return (_of_function if stack.is_function else _of_server)(stack, row, score, profiled)


def _of_server(stack: Stack, row: Mapping[str, float], score: float, profiled: bool) -> Started:
    port = free_port()
    body = json.dumps({**row, "explain": False} if "bare" not in stack.name else row).encode()
    with _started(stack, stack.command(port), profiled) as (process, began, log):
        end = began + SECONDS
        while (said := _ask(port, body)) is None:
            if process.poll() is not None or time.perf_counter() > end:
                raise RuntimeError(f"{stack.name} gave no answer: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.002)
        return _measured(process, began, time.perf_counter(), log, said, score)


def _of_function(stack: Stack, row: Mapping[str, float], score: float, profiled: bool) -> Started:
    event = http_event("POST", "/predict", json.dumps({**row, "explain": False}), {"content-type": "application/json"})
    with runtime_api() as api:
        named = {**stack.environment, **function_environment(api)}
        api.events.put(event)
        with _started(stack, stack.command(0), profiled, named) as (process, began, log):
            answer = api.answers.get(timeout=SECONDS)
            return _measured(process, began, answer.at, log, json.loads(answer.content["body"]), score)


@contextmanager
def _started(
    stack: Stack, command: Sequence[str], profiled: bool, environment: Mapping[str, str] | None = None
) -> "Iterator[tuple[subprocess.Popen[bytes], float, Path]]":
    log = stack.folder / f"cold-start-{os.getpid()}.log"
    more = {"PYTHONPROFILEIMPORTTIME": "1"} if profiled else {}
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**(environment or stack.environment), **more},
            cwd=stack.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process, began, log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    log.unlink()


def _ask(port: int, body: bytes) -> Any:
    """The answer; None while nobody is there, or is not ready."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        reply = connection.getresponse()
        text = reply.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return json.loads(text) if reply.status == 200 else None


def _measured(
    process: "subprocess.Popen[bytes]", began: float, ended: float, log: Path, said: Any, score: float
) -> Started:
    if abs(said["score"] - score) > 1e-9:
        raise RuntimeError(f"a wrong score: {said['score']}, not {score}")
    leader = psutil.Process(process.pid)
    memory = sum(each.memory_info().rss for each in (leader, *leader.children(recursive=True)))
    modules = log.read_text(encoding="utf-8", errors="replace").count("import time:")
    return Started(ended - began, memory / 1e6, modules)
