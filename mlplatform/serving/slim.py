"""The service under uvicorn alone, for images: the same application as under BentoML, without its packages.

`python -m mlplatform.serving.slim [folder of a bento]`. One process is one worker; what starts containers starts more
of them. Port: `--port`, else $PORT, as Cloud Run and Knative set it. Imports are what a cold start costs: see
docs/containers.md before adding one.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlplatform.errors import PlatformError
from mlplatform.serving.own_bundle import BUNDLE, bundle_of
from mlplatform.serving.security import require_protected

if TYPE_CHECKING:
    from uvicorn.server import Server

    from mlplatform.serving.runtime import Runtime

__all__ = ["GRACE_SECONDS", "HOST", "PORT", "PORT_VARIABLE", "main", "serve"]

HOST, PORT = "127.0.0.1", 8080
PORT_VARIABLE = "PORT"
GRACE_SECONDS = 8
"""For requests under way when the process is asked to end: Cloud Run kills after 10, Kubernetes by default after 30."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 1 with a sentence where it cannot start."""
    given = _parser().parse_args(arguments)
    try:
        serve(given.host, given.port or _port(os.environ), given.grace, given.bento, os.environ)
    except PlatformError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def serve(host: str, port: int, grace: int, bento: Path | None, environment: Mapping[str, str]) -> None:
    """Load, listen, and come back when asked to end, with nothing under way and the journal written.

    Raises SecurityError where anybody could ask it, ArtifactError where there is no bundle that can be served.
    """
    require_protected(host, environment)
    from uvicorn.config import Config
    from uvicorn.server import Server

    from mlplatform.serving.runtime import Runtime
    from mlplatform.serving.slow_clients import limit_connections

    runtime = Runtime.of(environment, bundle=bundle_of(bento) if bento else BUNDLE)
    limit_connections(runtime.security.protection, runtime.security.refused)
    runtime.load()
    config = Config(
        runtime.guarded(),
        host=host,
        port=port,
        # Ours are configured already, and what is started and ended stands in them.
        log_config=None,
        access_log=False,
        lifespan="off",
        # Nothing here speaks it, and its library would be imported.
        ws="none",
        # Whom a header names is not to be believed; nothing here asks it.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=grace,
    )
    server = Server(config)

    def end(*_: object) -> None:
        server.should_exit = True

    # Before uvicorn's own, and again after: it raises the signal anew when it has ended in order, which must not end
    # the process before the journal is written.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(runtime, server))


async def _run(runtime: "Runtime", server: "Server") -> None:
    following = runtime.follow()
    try:
        await server.serve()
    finally:
        await runtime.close(following)


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get(PORT_VARIABLE, str(PORT))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise PlatformError(f"{PORT_VARIABLE}={text!r}: take the number of a port; {PORT} is usual")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlplatform.serving.slim", description=__doc__)
    parser.add_argument("bento", nargs="?", type=Path, help="its folder; default: the bento that this file lies in")
    parser.add_argument("--host", default=HOST, help=f"default {HOST}; another one needs keys (docs/security.md)")
    parser.add_argument("--port", type=int, help=f"default: ${PORT_VARIABLE}, else {PORT}")
    parser.add_argument("--grace", type=int, default=GRACE_SECONDS, help="seconds for requests under way at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
