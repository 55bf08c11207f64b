"""The OpenAPI 3.1 document of one live model, made from the rules that also check its requests."""

from typing import TYPE_CHECKING, Any

from mlplatform.serving.answers import answer_facts, answer_schema, in_words
from mlplatform.serving.column import describe_allowed, example_value, schema_bounds
from mlplatform.serving.identity import INTEGERS, LONGEST, Identity
from mlplatform.serving.openapi_v2 import v2_paths, v2_schemas
from mlplatform.serving.raw.endpoint import listed
from mlplatform.serving.scoring import REASONS, Live

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule
    from mlplatform.serving.lookup import Lookup

__all__ = ["document", "row_schema"]

JSON_TYPES = {
    "float": "number",
    "integer": "integer",
    "boolean": "boolean",
    "string": "string",
    "timestamp": "string",
}

_CREDENTIALS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token where they are configured."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


# No "default" of JSON Schema: generators of TypeScript then take the property for a required one.
EXPLAIN = (
    f"Name the {REASONS} features that weigh most. If left out: where that is expected to take no longer than this "
    "service allows."
)


_LEFT_OUT = {"reasons_left_out": {"type": "string", "description": "Why there are none, where that was not asked for."}}


def document(live: Live, newest: str | None = None) -> dict[str, Any]:
    """The whole document, ready for JSON. `newest`: up to when raw events are known, so that their example is no old
    one, which the service would refuse."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": live.bundle.use_case,
            "version": live.bundle.version,
            "description": f"Predictions of {live.bento}. {in_words(live.bundle.model)}",
            "x-mlplatform": _facts(live),
        },
        "paths": {
            "/predict": {"post": _predict(live)},
            **_score(live, newest),
            **v2_paths(live),
            "/readyz": {"get": _readiness()},
            "/livez": {"get": _probe("alive", "200 while the process answers", "application/json")},
            "/metrics": {"get": _probe("metrics", "Prometheus text", "text/plain")},
        },
        "components": {"schemas": {**_schemas(live), **v2_schemas()}, "securitySchemes": _CREDENTIALS},
        # The empty one: a service without keys asks for none.
        "security": [*({name: []} for name in _CREDENTIALS), {}],
    }


def _facts(live: Live) -> dict[str, Any]:
    """For the page: how to draw an answer, what a request by key names, and whether there is a card to show."""
    lookup = live.bundle.lookup
    keys = list(lookup.settings.keys) if lookup else []
    return {**answer_facts(live.bundle.model), "bento": live.bento, "keys": keys, "card": bool(live.bundle.card)}


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
    whole = {"minimum": INTEGERS[0], "maximum": INTEGERS[1]}
    key = {"type": ["string", "integer"], "maxLength": LONGEST, **whole, "description": kept}
    names = identity.names(features)
    return {name: moment if name == identity.event_time else key for name in sorted(names)}


def _property(rule: "Rule") -> dict[str, Any]:
    kind = JSON_TYPES[rule.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if rule.nullable else kind}
    if rule.type == "timestamp":
        schema["format"] = "date-time"
    if rule.categories:
        schema["enum"] = [*rule.categories, *([None] if rule.nullable else [])]
    schema.update(schema_bounds(rule))
    schema["description"] = rule.description or describe_allowed(rule)
    schema["examples"] = [example_value(rule)]
    return schema


def _predict(live: Live) -> dict[str, Any]:
    example, lookup = live.example(), live.bundle.lookup
    one_or_many = [*([_ref("ByKey")] if lookup else []), _ref("One"), _ref("Many")]
    answers = [_ref("OneAnswer"), _ref("ManyAnswer"), *([_ref("ByKeyAnswer")] if lookup else [])]
    by_key = {"by key": {"summary": "By key", "value": lookup.example()}} if lookup else {}
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
                        "one": {"summary": "By features", "value": example},
                        "many": {"summary": "Many rows", "value": {"rows": [example], "explain": False}},
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


def _score(live: Live, newest: str | None) -> dict[str, Any]:
    """POST /score, where the service computes features of raw events."""
    raw = live.bundle.raw
    if raw is None:
        return {}
    example = {rule.name: newest if newest and rule.type == "timestamp" else example_value(rule) for rule in raw.fields}
    several = {"summary": "Many events", "value": {"rows": [example], "explain": False}}
    many = {} if listed(live) else {"many": several}
    bodies = [_ref("Event"), *([_ref("Events")] if many else [])]
    answers = [_ref("ByEventAnswer")] if listed(live) else [_ref("OneAnswer"), _ref("ManyAnswer")]
    refused = _predict(live)["responses"]
    return {
        "/score": {
            "post": {
                "operationId": "score",
                "summary": "Score what has happened; features are computed here",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"anyOf": bodies},
                            "examples": {"one": {"summary": "By raw event", "value": example}, **many},
                        }
                    },
                },
                "responses": {
                    **refused,
                    "200": _json("The predictions", {"anyOf": answers}),
                    "409": _json(
                        "Events that are older than the history here, or of which nothing is known", _ref("Error")
                    ),
                    "422": _json("Events that break the contract", _ref("Error")),
                    "503": _json("No model or no history is loaded yet, or too many events wait", _ref("Error")),
                },
            }
        }
    }


def _events(live: Live, explain: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    """An event, several, and the answer where one event has a list of them."""
    raw, lookup = live.bundle.raw, live.bundle.lookup
    if raw is None:
        return {}
    fields = {rule.name: {**_WITHIN.get(rule.type, {}), **_property(rule)} for rule in raw.fields}
    required = [rule.name for rule in raw.fields if not rule.nullable]
    remember = {"type": "boolean", "description": "It has happened: later events see it. True if left out."}
    options = {"explain": explain, "remember": remember}
    row = {**_object(fields, required), "additionalProperties": False}
    rows = {"type": "array", "items": _ref("EventRow"), "minItems": 1}
    schemas = {"EventRow": row, "Event": {**row, "properties": {**fields, **options}}}
    if listed(live):
        assert lookup is not None
        entries: dict[str, Any] = {lookup.settings.answers: {"type": "array", "items": _ref("Entry")}}
        return {**schemas, "ByEventAnswer": _object({**entries, **_LEFT_OUT, **answered}, [*entries, *answered])}
    return {**schemas, "Events": {**_object({"rows": rows, **options}, ["rows"]), "additionalProperties": False}}


_WITHIN: dict[str, dict[str, int]] = {
    "integer": {"minimum": INTEGERS[0], "maximum": INTEGERS[1]},
    "string": {"maxLength": LONGEST},
}
"""What a field of an event may be, whatever its rule says."""


def _schemas(live: Live) -> dict[str, Any]:
    row = row_schema(live.reader.rules, live.bundle.journal.identity)
    explain = {"type": "boolean", "description": EXPLAIN}
    text = {"type": "string"}
    names = ["use_case", "version", "bento"]
    model = {"type": "object", "properties": dict.fromkeys(names, text), "required": names}
    answer = answer_schema(live.bundle.model)
    prediction = {**answer, "reasons": {"type": "array", "maxItems": REASONS, "items": _ref("Reason")}}
    answered = {"model": _ref("Model"), "request_id": text}
    many = {"predictions": {"type": "array", "items": _ref("Prediction")}}
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1}
    return {
        **_by_key(live.bundle.lookup, answered),
        **_events(live, explain, answered),
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
        # The model is named where a challenger answered some rows of a request.
        "Prediction": _object({**prediction, "model": _ref("Model")}, list(answer)),
        **_entry(live.bundle.lookup, prediction, list(answer)),
        "Model": model,
        "Readiness": _object(
            {
                "status": {"type": "string", "enum": ["starting", "ready", "degraded"]},
                "model": {"oneOf": [_ref("Model"), {"type": "null"}]},
                "problem": {"type": ["string", "null"]},
            },
            ["status", "model", "problem"],
        ),
        "OneAnswer": _object({**prediction, **answered}, [*answer, *answered]),
        "ManyAnswer": _object({**many, **_LEFT_OUT, **answered}, ["predictions", *answered]),
        "Problem": _object(
            {"row": {"type": "integer", "minimum": 0}, "field": text, "problem": text, "allowed": text},
            ["row", "field", "problem", "allowed"],
        ),
        "Error": _object(
            {"error": text, "request_id": text, "problems": {"type": "array", "items": _ref("Problem")}},
            ["error", "request_id"],
        ),
    }


def _by_key(lookup: "Lookup | None", answered: dict[str, Any]) -> dict[str, Any]:
    """A request that names a key, and its answer; nothing where there are no rows to find."""
    if lookup is None:
        return {}
    settings, example = lookup.settings, lookup.example()
    kind = {name: "integer" if isinstance(value, int) else "string" for name, value in example.items()}
    keys = {name: {"type": kind[name], "examples": [example[name]]} for name in settings.keys}
    limit = {settings.limit: {"type": "integer", "minimum": 1}} if settings.limit else {}
    entries = {"type": "array", "items": _ref("Entry")}
    known = {"type": "boolean", "description": "False: the default key answers for one that is not there."}
    found = {settings.answers: entries, "known": known, "as_of": {"type": "string", "format": "date-time"}}
    explain = {"explain": {"type": "boolean", "description": EXPLAIN}}
    request = _object({**keys, **limit, **explain}, list(settings.keys))
    return {
        "ByKey": {**request, "additionalProperties": False},
        "ByKeyAnswer": _object({**found, **_LEFT_OUT, **answered}, [*found, *answered]),
    }


def _entry(lookup: "Lookup | None", prediction: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """A prediction with the columns that are shown beside it."""
    if lookup is None:
        return {}
    shown = lookup.settings.shown
    anything: dict[str, Any] = {name: {} for name in shown}
    return {"Entry": _object({**anything, **prediction}, [*shown, *required])}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _probe(name: str, summary: str, media: str) -> dict[str, Any]:
    kind = "string" if media == "text/plain" else "object"
    found = {"description": summary, "content": {media: {"schema": {"type": kind}}}}
    return {"operationId": name, "summary": summary, "responses": {"200": found}}


def _readiness() -> dict[str, Any]:
    summary = "200 with the live model, 503 while there is none"
    codes = {"200": "A model answers", "503": "None does yet"}
    responses = {code: _json(words, _ref("Readiness")) for code, words in codes.items()}
    return {"operationId": "ready", "summary": summary, "responses": responses}
