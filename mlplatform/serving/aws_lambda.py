"""A function of AWS Lambda: `_HANDLER=mlplatform.serving.aws_lambda.handler`, for function URLs and API Gateway.

The model is loaded when this module is imported, which Lambda counts as the start, not as a request. Between two
requests Lambda stops the process, and may end it: so what a request leaves behind is written before its answer goes
out. Nothing is followed: keys and model are those of the start, and a new version is a new image.
See docs/containers.md.
"""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, cast

from mangum import Mangum

from mlplatform.errors import PlatformError
from mlplatform.serving.codec import dumps
from mlplatform.serving.request import request_id
from mlplatform.serving.runtime import Runtime

if TYPE_CHECKING:
    from mangum.types import ASGI

__all__ = ["EventError", "handler"]

logger = logging.getLogger(__name__)

HTTP_ONLY = "this function answers HTTP requests of function URLs, API Gateway (format 2.0 or 1.0) and load balancers"

_runtime = Runtime.of(os.environ, threaded=False)
_runtime.load()
# Mangum takes the current loop, and Python makes none any more.
asyncio.set_event_loop(asyncio.new_event_loop())
# Off: it would start and end the application with each request.
_asgi = Mangum(cast("ASGI", _runtime.guarded()), lifespan="off")


class EventError(PlatformError):
    """Records of a queue or stream: if the function answered, they would be taken for done."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One request and its answer, in the payload format 2.0, 1.0 or of a load balancer that the event came in.

    Another event gets an answer of status 400. Raises EventError for records: what sent them then keeps them.
    """
    if problem := _problem(event, context):
        return _refused(problem)
    try:
        return _asgi(event, context)
    finally:
        if _runtime.journal:
            _runtime.journal.flush()
        if _runtime.observer.tracing:
            _runtime.observer.tracing.flush()


def _problem(event: Any, context: Any) -> str | None:
    """Why an event is no HTTP request; None if it is one."""
    if isinstance(event, dict) and "Records" in event:
        raise EventError(f"{HTTP_ONLY}, not records of a queue or stream; score those in batch")
    try:
        found = _asgi.infer(event, context)
        # Both read the event; neither is kept.
        _ = found.scope, found.body
    except KeyError as error:
        return f"it lacks {error.args[0]}"
    except (RuntimeError, TypeError, AttributeError, ValueError):
        return "it has not the shape of one"
    return None


def _refused(problem: str) -> dict[str, Any]:
    identity = request_id(None)
    logger.warning("Event %s is no HTTP request: %s", identity, problem)
    return {
        "statusCode": 400,
        "headers": {"content-type": "application/json", "x-request-id": identity},
        "body": dumps({"error": f"{HTTP_ONLY}; this event is none: {problem}", "request_id": identity}).decode(),
        "isBase64Encoded": False,
    }
