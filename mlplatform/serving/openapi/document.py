"""The OpenAPI 3.1 document of one live model, made from the rules that also check its requests."""

from typing import Any

from mlplatform.serving.answers import answer_facts, in_words
from mlplatform.serving.openapi.parts import TURNED_AWAY, answer_of, ref
from mlplatform.serving.openapi.predict import predict_paths
from mlplatform.serving.openapi.schemas import schemas
from mlplatform.serving.openapi.v2 import v2_paths, v2_schemas
from mlplatform.serving.scoring import Live

__all__ = ["document"]

_CREDENTIALS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token where they are configured."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def document(live: Live, newest: str | None = None, *, events: bool = True) -> dict[str, Any]:
    """The whole document, ready for JSON. `newest`: up to when raw events are known, so that their example is no old
    one, which the service would refuse. `events`: whether they can be scored, where the model has a query for them."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": live.bundle.use_case,
            "version": live.bundle.version,
            "description": f"Predictions of {live.bento}. {in_words(live.bundle)}",
            "x-mlplatform": _facts(live),
        },
        "paths": {
            **predict_paths(live, newest, events=events),
            **v2_paths(live),
            "/readyz": {"get": _readiness()},
            "/livez": {"get": _probe("alive", "200 while the process answers", "application/json")},
            "/metrics": {"get": _probe("metrics", "Prometheus text", "text/plain", TURNED_AWAY)},
        },
        "components": {"schemas": {**schemas(live), **v2_schemas(live)}, "securitySchemes": _CREDENTIALS},
        # The empty one: a service without keys asks for none.
        "security": [*({name: []} for name in _CREDENTIALS), {}],
    }


def _facts(live: Live) -> dict[str, Any]:
    """For the page: how to draw an answer, what a request by key names, and whether there is a card to show."""
    lookup = live.bundle.lookup
    keys = list(lookup.settings.keys) if lookup else []
    return {**answer_facts(live.bundle), "bento": live.bento, "keys": keys, "card": bool(live.bundle.card)}


def _probe(name: str, summary: str, media: str, refused: dict[str, Any] | None = None) -> dict[str, Any]:
    kind = "string" if media == "text/plain" else "object"
    found = {"description": summary, "content": {media: {"schema": {"type": kind}}}}
    return {"operationId": name, "summary": summary, "responses": {"200": found, **(refused or {})}}


def _readiness() -> dict[str, Any]:
    summary = "200 with the live model, 503 while there is none"
    codes = {"200": "A model answers", "503": "None does yet"}
    responses = {code: answer_of(words, ref("Readiness")) for code, words in codes.items()}
    return {"operationId": "ready", "summary": summary, "responses": responses}
