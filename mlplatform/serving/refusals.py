"""Answers to whom nothing else is answered: JSON with a sentence and a request id."""

from collections.abc import Mapping

from starlette.types import Send

from mlplatform.serving.codec import dumps
from mlplatform.serving.request import RefusedError, request_id

__all__ = ["RefusalError", "after", "refuse"]


class RefusalError(RefusedError):
    """A RefusedError with headers of its own."""

    def __init__(self, status: int, error: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, error)
        self.headers = headers


async def refuse(send: Send, refused: RefusedError, headers: Mapping[bytes, bytes]) -> None:
    """Send it. `headers`: of the request, which may bring an id."""
    identity = request_id(headers.get(b"x-request-id"))
    body = dumps({**refused.content, "request_id": identity})
    sent: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", identity.encode()),
        *(refused.headers if isinstance(refused, RefusalError) else ()),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


def after(seconds: int) -> tuple[bytes, bytes]:
    """When one may come again."""
    return b"retry-after", str(seconds).encode()
