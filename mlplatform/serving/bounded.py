"""BentoML reads bodies of any size and several kinds; before its own API: JSON only, and not too much."""

from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlplatform.serving.request import Limits, RefusedError, parse, read_body, require_json

__all__ = ["Bounded"]


class Bounded:
    """Reads the body within the limit and passes it on whole."""

    def __init__(self, app: ASGIApp, limits: Callable[[], Limits]) -> None:
        """`limits`: those of the moment."""
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 413 or 415, or pass on."""
        headers = dict(scope["headers"])
        try:
            require_json(headers)
            limits = self._limits()
            body = await read_body(headers, receive, limits.body_bytes)
            if len(body) > limits.text:
                # Also for its texts; what is no JSON is refused here, too.
                parse(body, limits.rows, limits.text)
        except RefusedError as refused:
            await JSONResponse(refused.content, refused.status)(scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replay, send)
