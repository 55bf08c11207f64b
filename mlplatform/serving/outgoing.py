"""The headers of every answer, and JSON instead of what BentoML and Starlette say when something is wrong."""

from starlette.types import Message, Scope, Send

from mlplatform.serving.refusals import RefusalError, refuse

__all__ = ["BEGUN", "PROBES", "UNFORESEEN", "Outgoing"]

PROBES = frozenset({"/livez", "/healthz", "/readyz"})
"""Asked by what restarts and routes, which carries no key: answered for anybody, in few words."""
BEGUN = "mlplatform.begun"
"""In the scope from the first byte of an answer on: from then on there can be no other."""
UNFORESEEN = "the service failed on this request; its log has the cause under the request id"
SECURE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""On each answer that does not say otherwise itself."""
WORDS = {
    400: "the request is not understood",
    404: "there is nothing at this address; /openapi.json says what there is",
    405: "this address does not take this method; /openapi.json says which",
    500: UNFORESEEN,
    503: "the service cannot answer now; try again in a moment",
}


class Outgoing:
    """`send` that adds what is missing to the headers, and replaces errors that others than this platform wrote.

    Theirs are plain text, may quote the request, and carry no request id: by that they are known.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        """Pass on."""
        if message["type"] == "http.response.start":
            self._scope[BEGUN] = True
            headers = list(message["headers"])
            names = {name.lower() for name, _ in headers}
            status = message["status"]
            if status >= 300 and status != 304 and b"x-request-id" not in names and self._scope["path"] not in PROBES:
                await self._replace(status, headers)
                return
            headers += [each for each in SECURE if each[0] not in names]
            if status in (408, 413):
                # What is left of the body will not be read.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._replaced:
            return
        await self._send(message)

    async def _replace(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        # A redirect would be made of the host name that the client sent; nothing here redirects on purpose.
        status = status if status >= 400 else 404
        kept = [each for each in headers if each[0].lower() in (b"allow", b"vary") or each[0].startswith(b"access-")]
        refusal = RefusalError(status, WORDS.get(status, WORDS[400] if status < 500 else WORDS[500]), tuple(kept))
        await refuse(self, refusal, dict(self._scope["headers"]))
        self._replaced = True
