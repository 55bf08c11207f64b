"""The innermost layer that is ours: answers the hot routes before anybody else's layers see them."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from mlplatform.serving.app import alive, readiness
from mlplatform.serving.endpoint import Predict
from mlplatform.serving.guard import TRUSTED
from mlplatform.serving.outgoing import PROBES
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.scoring import Slot
from mlplatform.serving.trial import Trial

__all__ = ["Front"]


class Front:
    """Answers what BentoML's layers would slow down by a third, and the probes: BentoML's own, which would win over the
    mounted app's, are empty."""

    def __init__(
        self, app: ASGIApp, endpoints: Mapping[str, Predict], slot: Slot, trial: Trial, raw: RawFeatures
    ) -> None:
        self._app = app
        self._endpoints = endpoints
        self._slot, self._trial, self._raw = slot, trial, raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on."""
        if scope["type"] == "http":
            path = scope["path"]
            if scope["method"] == "POST" and (endpoint := self._endpoints.get(path)):
                await endpoint(scope, receive, send)
                return
            if path in PROBES and scope["method"] in ("GET", "HEAD"):
                trusted = scope.get(TRUSTED, True)
                answer = readiness(self._slot, self._trial, self._raw, trusted) if path == "/readyz" else alive()
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
