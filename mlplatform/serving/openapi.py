"""The OpenAPI 3.1 document of one live model, made from the rules that also check its requests."""

from typing import TYPE_CHECKING, Any

from mlplatform.serving.answers import answer_schema, in_words
from mlplatform.serving.column import describe_allowed, example_value
from mlplatform.serving.identity import Identity
from mlplatform.serving.scoring import REASONS, Live

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule
    from mlplatform.serving.lookup import Lookup

__all__ = ["document", "row_schema"]

JSON_TYPES = {"float": "number", "integer": "integer", "boolean": "boolean", "string": "string"}

_CREDENTIALS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token where they are configured."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def document(live: Live) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": live.bundle.use_case,
            "version": live.bundle.version,
            "description": f"Predictions of {live.bento}. {in_words(live.bundle.model)}",
        },
        "paths": {
            "/predict": {"post": _predict(live)},
            "/readyz": {"get": _probe("200 with the live model, 503 while there is none", "503")},
            "/livez": {"get": _probe("200 while the process answers")},
            "/metrics": {"get": _probe("Prometheus text")},
        },
        "components": {"schemas": _schemas(live), "securitySchemes": _CREDENTIALS},
        # The empty one: a service without keys asks for none.
        "security": [*({name: []} for name in _CREDENTIALS), {}],
    }


def row_schema(rules: tuple["Rule", ...], identity: Identity | None = None) -> dict[str, Any]:
    """JSON Schema (2020-12) of one row: every feature is required, null is a value; beside them a row may say what it
    is about, nothing else."""
    features = {rule.name: _property(rule) for rule in rules}
    return {
        "type": "object",
        "properties": {**features, **_about(identity or Identity(), frozenset(features))},
        "required": [rule.name for rule in rules],
        "additionalProperties": False,
    }


def _about(identity: Identity, features: frozenset[str]) -> dict[str, Any]:
    """Keys and event time: not required."""
    kept = "Kept with the prediction, not used by the model; its label is found by it."
    moment = {"type": "string", "format": "date-time", "description": f"When it happened (UTC). {kept}"}
    key = {"type": ["string", "integer"], "description": kept}
    names = identity.names(features)
    return {name: moment if name == identity.event_time else key for name in sorted(names)}


def _property(rule: "Rule") -> dict[str, Any]:
    kind = JSON_TYPES[rule.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if rule.nullable else kind}
    if rule.categories:
        schema["enum"] = [*rule.categories, *([None] if rule.nullable else [])]
    if rule.minimum is not None:
        schema["minimum"] = rule.minimum
    if rule.maximum is not None:
        schema["maximum"] = rule.maximum
    schema["description"] = rule.description or describe_allowed(rule)
    schema["examples"] = [example_value(rule)]
    return schema


def _predict(live: Live) -> dict[str, Any]:
    example, lookup = live.example(), live.bundle.lookup
    one_or_many = [_ref("One"), _ref("Many"), *([_ref("ByKey")] if lookup else [])]
    answers = [_ref("OneAnswer"), _ref("ManyAnswer"), *([_ref("ByKeyAnswer")] if lookup else [])]
    by_key = {"by key": {"value": lookup.example()}} if lookup else {}
    return {
        "operationId": "predict",
        "summary": "Score one row or many",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": one_or_many},
                    "examples": {
                        **by_key,
                        "one": {"value": example},
                        "many": {"value": {"rows": [example], "explain": False}},
                    },
                }
            },
        },
        "responses": {
            "200": _json("The predictions", {"anyOf": answers}),
            "400": _json("Not JSON", _ref("Error")),
            "401": _json("No valid key or token, where the service asks for one", _ref("Error")),
            "408": _json("The body took too long to arrive", _ref("Error")),
            "413": _json("Too large", _ref("Error")),
            "415": _json("Not application/json", _ref("Error")),
            "422": _json("Rows that break the contract; every problem is named", _ref("Error")),
            "421": _json("A service without keys was asked for a host that is not loopback", _ref("Error")),
            "429": _json("Too many requests of this client; see Retry-After", _ref("Error")),
            "500": _json("The model gave no finite number, or the service failed; there is no decision", _ref("Error")),
            "503": _json("No model is loaded yet, or too much at once; see Retry-After", _ref("Error")),
        },
    }


def _schemas(live: Live) -> dict[str, Any]:
    row = row_schema(live.reader.rules, live.bundle.journal.identity)
    explain = {"type": "boolean", "default": True, "description": f"Name the {REASONS} features that weigh most."}
    text = {"type": "string"}
    names = ["use_case", "version", "bento"]
    model = {"type": "object", "properties": dict.fromkeys(names, text), "required": names}
    answer = answer_schema(live.bundle.model)
    prediction = {**answer, "reasons": {"type": "array", "maxItems": REASONS, "items": _ref("Reason")}}
    answered = {"model": _ref("Model"), "request_id": text}
    # Named where a challenger answered some rows of a request.
    many = {"predictions": {"type": "array", "items": _object({**prediction, "model": _ref("Model")}, list(answer))}}
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1}
    return {
        **_by_key(live.bundle.lookup, prediction, list(answer), answered),
        "Row": row,
        "One": {**row, "properties": {**row["properties"], "explain": explain}},
        "Many": {**_object({"rows": rows, "explain": explain}, ["rows"]), "additionalProperties": False},
        "Reason": _object(
            {
                "feature": text,
                "value": {},
                "contribution": {"type": "number", "description": f"In {live.bundle.model.head.unit}."},
            },
            ["feature", "value", "contribution"],
        ),
        "Model": model,
        "OneAnswer": _object({**prediction, **answered}, [*answer, *answered]),
        "ManyAnswer": _object({**many, **answered}, ["predictions", *answered]),
        "Problem": _object(
            {"row": {"type": "integer", "minimum": 0}, "field": text, "problem": text, "allowed": text},
            ["row", "field", "problem", "allowed"],
        ),
        "Error": _object(
            {"error": text, "request_id": text, "problems": {"type": "array", "items": _ref("Problem")}},
            ["error", "request_id"],
        ),
    }


def _by_key(
    lookup: "Lookup | None", prediction: dict[str, Any], required: list[str], answered: dict[str, Any]
) -> dict[str, Any]:
    """A request that names a key, and its answer; nothing where there are no rows to find."""
    if lookup is None:
        return {}
    settings, key = lookup.settings, {"type": ["integer", "string"]}
    limit = {settings.limit: {"type": "integer", "minimum": 1}} if settings.limit else {}
    shown: dict[str, Any] = {name: {} for name in settings.shown}
    entries = {"type": "array", "items": _object({**shown, **prediction}, [*settings.shown, *required])}
    known = {"type": "boolean", "description": "False: the default key answers for one that is not there."}
    found = {settings.answers: entries, "known": known, "as_of": {"type": "string", "format": "date-time"}}
    explain = {"explain": {"type": "boolean", "default": True}}
    request = _object({**dict.fromkeys(settings.keys, key), **limit, **explain}, list(settings.keys))
    return {
        "ByKey": {**request, "additionalProperties": False},
        "ByKeyAnswer": _object({**found, **answered}, [*found, *answered]),
    }


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _probe(summary: str, *failures: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {code: {"description": summary} for code in ("200", *failures)}}
