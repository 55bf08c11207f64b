"""A function of AWS Lambda: `_HANDLER=mlplatform.serving.aws_lambda.handler`, for function URLs and API Gateway.

The model is loaded when this module is imported, which Lambda counts as the start, not as a request. Between two
requests Lambda stops the process, and may end it: so what a request leaves behind is written before its answer goes
out. Nothing is followed: keys and model are those of the start, and a new version is a new image.
See docs/containers.md.
"""

import asyncio
import os
from typing import TYPE_CHECKING, Any, cast

from mangum import Mangum

from mlplatform.serving.runtime import Runtime

if TYPE_CHECKING:
    from mangum.types import ASGI

__all__ = ["handler"]

_runtime = Runtime.of(os.environ, threaded=False)
_runtime.load()
# Mangum takes the current loop, and Python makes none any more.
asyncio.set_event_loop(asyncio.new_event_loop())
# Off: it would start and end the application with each request.
_asgi = Mangum(cast("ASGI", _runtime.guarded()), lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One request and its answer, in the payload format 2.0 (or 1.0) that the event came in."""
    try:
        return _asgi(event, context)
    finally:
        if _runtime.journal:
            _runtime.journal.flush()
        if _runtime.observer.tracing:
            _runtime.observer.tracing.flush()
