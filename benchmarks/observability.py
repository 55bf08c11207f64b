"""What watching costs one request of /predict: the same app with and without it, in turns, in one process.

No HTTP server: what a server adds is the same on both sides and would only hide the difference.
`python -m benchmarks.observability [--json] [--requests 20000]`
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from benchmarks._serving_model import write_everything
from mlplatform.serving.app import create_endpoints
from mlplatform.serving.follow import load_live
from mlplatform.serving.scoring import Slot
from mlplatform.serving.tracing import Tracing
from mlplatform.serving.watch import Observer, Watch

ROUNDS = 21
WARM_UP = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--requests", type=int, default=20_000, help="of each kind")
    given = parser.parse_args()
    found = asyncio.run(measure(given.requests))
    print("| /predict, one row, no reasons | CPU microseconds per request | more than bare |")
    print("| --- | ---: | ---: |")
    for name, microseconds in found.items():
        print(f"| {name} | {microseconds:.1f} | {microseconds - found['bare']:.1f} |")
    if given.json:
        print(json.dumps({f"observability_{name.replace(' ', '_')}_us": value for name, value in found.items()}))


async def measure(requests: int) -> dict[str, float]:
    """Median over rounds of the CPU microseconds per request, by kind."""
    with tempfile.TemporaryDirectory(prefix="bench-observability-") as folder:
        row = write_everything(Path(folder))
        slot = Slot(load_live(Path(folder) / "bundle", "bench:v1"))
        bare = create_endpoints(slot)["/predict"]
        apps: dict[str, ASGIApp] = {
            "bare": bare,
            "watched": Watch(bare, Observer()),
            "watched and traced": Watch(bare, Observer(tracing=Tracing([_nowhere()], lambda: {}))),
        }
        body = json.dumps({**row, "explain": False}).encode()
        for app in apps.values():
            await send(app, body, WARM_UP)
        each = requests // ROUNDS
        rounds = [{name: await send(app, body, each) for name, app in apps.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in rounds) for name in apps}


async def send(app: ASGIApp, body: bytes, requests: int) -> float:
    """CPU microseconds per request."""
    request: Message = {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Message:
        return request

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    began = process_time()
    for _ in range(requests):
        scope: Scope = {"type": "http", "method": "POST", "path": "/predict", "scheme": "http", "headers": headers}
        await app(scope, receive, answer)
    return 1e6 * (process_time() - began) / requests


def _nowhere() -> Any:
    """An exporter that drops what it gets."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            del spans
            return SpanExportResult.SUCCESS

    return Nowhere()


if __name__ == "__main__":
    main()
