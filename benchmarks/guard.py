"""What the guard and a key cost: CPU microseconds per request, in process, without HTTP.

python -m benchmarks.guard
"""

import asyncio
import tempfile
import time
from pathlib import Path

from starlette.types import ASGIApp, Message, Scope

from mlplatform.serving.api_keys import create_key
from mlplatform.serving.app import create_app
from mlplatform.serving.authentication import Authentication, KeyFile
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.codec import dumps
from mlplatform.serving.guard import Guard
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.security import Protection, Security
from mlplatform_tests.serving.conftest import GOOD, write_bundle

REQUESTS, ROUNDS, KEYS = 6000, 4, 5
BODY = dumps({**GOOD, "explain": False})
HEADERS = [
    (b"host", b"127.0.0.1:3003"),
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]


def main() -> None:
    """Print the best of some rounds, taken in turn."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        app = create_app(Slot(Live.of(load_bundle(write_bundle(folder / "bundle", "1")), "fraud:v1")))
        made_keys = [create_key(folder / "keys.json", f"key-{number}") for number in range(KEYS)]
        keys = KeyFile(str(folder / "keys.json"))
        keys.check()
        variants: dict[str, tuple[ASGIApp, bytes]] = {
            "no guard": (app, b""),
            "guard": (Guard(app, Security()), b""),
            "guard, rate limit": (Guard(app, Security(Protection(client_per_second=1e9))), b""),
            f"guard, {KEYS} keys": (Guard(app, Security(None, Authentication(keys, None))), made_keys[0].encode()),
        }
        best = dict.fromkeys(variants, float("inf"))
        for _ in range(ROUNDS):
            for name, (asked, sent) in variants.items():
                best[name] = min(best[name], asyncio.run(microseconds(asked, sent)))
    for name, cost in best.items():
        print(f"{name:<20} {cost:6.1f} us")


async def microseconds(app: ASGIApp, key: bytes) -> float:
    statuses = set()
    headers = [*HEADERS, (b"x-api-key", key)]

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        statuses.add(message.get("status", 200))

    began = time.process_time()
    for _ in range(REQUESTS):
        await app(request(headers), receive, send)
    spent = time.process_time() - began
    if statuses != {200}:
        raise SystemExit(f"answered {statuses}")
    return 1e6 * spent / REQUESTS


def request(headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "server": ("127.0.0.1", 3003),
        "client": ("127.0.0.1", 5),
        "scheme": "http",
    }


if __name__ == "__main__":
    main()
