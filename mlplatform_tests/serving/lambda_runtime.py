"""The Runtime API of AWS Lambda on loopback, as its documentation describes it, for the real runtime client.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01: the client asks for the next
invocation, and posts the answer or an error for it.
"""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

HANDLER = "mlplatform.serving.aws_lambda.handler"
PREFIX = "/2018-06-01/runtime/"
SECONDS = 60


@dataclass
class Answer:
    """What came back for one invocation. `kind`: response, error, or init/error."""

    kind: str
    content: Any
    at: float


@dataclass
class RuntimeApi:
    """Hands out events in order and keeps what is answered."""

    port: int = 0
    events: "Queue[dict[str, Any] | None]" = field(default_factory=Queue)
    answers: "Queue[Answer]" = field(default_factory=Queue)
    waiting: threading.Event = field(default_factory=threading.Event)
    """Set while the client asks for the next event: it has nothing under way."""

    def invoke(self, event: dict[str, Any]) -> Answer:
        """Send one event and wait for what comes back."""
        self.waiting.clear()
        self.events.put(event)
        return self.answers.get(timeout=SECONDS)


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    served = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            nonlocal served
            assert self.path == f"{PREFIX}invocation/next", self.path
            api.waiting.set()
            event = api.events.get()
            if event is None:
                self.close_connection = True
                return
            served += 1
            body = json.dumps(event).encode()
            self.send_response(200)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Lambda-Runtime-Aws-Request-Id": f"request-{served}",
                "Lambda-Runtime-Deadline-Ms": str(int(1000 * (time.time() + SECONDS))),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:fraud",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            at = time.perf_counter()
            body = self._body()
            kind = self.path.removeprefix(PREFIX)
            assert kind == "init/error" or kind.startswith(f"invocation/request-{served}/"), self.path
            api.answers.put(Answer(kind.rpartition(f"request-{served}/")[2], json.loads(body), at))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers["Content-Length"]))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def handle(self) -> None:
            with contextlib.suppress(ConnectionResetError):  # the client was ended while it waited
                super().handle()

        def log_message(self, *_: Any) -> None:
            """Not to the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.events.put(None)
        server.shutdown()
        server.server_close()
        thread.join()


def function_environment(api: RuntimeApi) -> dict[str, str]:
    """What Lambda sets for a function."""
    return {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}",
        "AWS_LAMBDA_FUNCTION_NAME": "fraud",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/fraud",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_REGION": "eu-central-1",
        "_HANDLER": HANDLER,
        "LAMBDA_TASK_ROOT": os.getcwd(),  # noqa: PTH109
    }


@contextmanager
def function(
    api: RuntimeApi, python: Sequence[str], environment: Mapping[str, str], cwd: os.PathLike[str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """AWS's runtime client with the handler, ended at the end."""
    process = subprocess.Popen(
        [*python, "-m", "awslambdaric", HANDLER],
        env={**environment, **function_environment(api)},
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def http_event(
    method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """Payload format 2.0, as a function URL sends it."""
    host = "abc.lambda-url.eu-central-1.on.aws"
    sent = {"host": host, "x-forwarded-proto": "https", "x-forwarded-port": "443", **(headers or {})}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": sent,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": host,
            "domainPrefix": "abc",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": False,
        **({"body": body} if body is not None else {}),
        **more,
    }
