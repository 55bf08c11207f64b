"""Schemas of requests and answers."""

from typing import TYPE_CHECKING, Any

from mlplatform.ml.heads import Probability
from mlplatform.serving.answers import answer_schema
from mlplatform.serving.identity import INTEGERS, LONGEST, YEARS
from mlplatform.serving.openapi.parts import object_of, ref
from mlplatform.serving.openapi.rows import field_schema, row_schema
from mlplatform.serving.raw.endpoint import MAX_EVENTS, listed
from mlplatform.serving.scoring import REASONS, Live

if TYPE_CHECKING:
    from mlplatform.serving.lookup import Lookup

__all__ = ["schemas"]

# No "default" of JSON Schema: generators of TypeScript then take the property for a required one.
EXPLAIN = (
    f"Name the {REASONS} features that weigh most. If left out: where that is expected to take no longer than this "
    "service allows."
)

_THRESHOLD = {"type": "number", "description": "Score from which the decision is true."}
_LEFT_OUT = {"reasons_left_out": {"type": "string", "description": "Why there are none, where that was not asked for."}}


def schemas(live: Live) -> dict[str, Any]:
    """By name, for `components`."""
    row = row_schema(live.reader.rules, live.bundle.journal.identity)
    explain = {
        "type": "boolean",
        "description": f"{EXPLAIN} If true: of at most {live.bundle.limits.explained_rows} rows.",
    }
    text = {"type": "string"}
    names = ["use_case", "version", "bento"]
    model = {"type": "object", "properties": dict.fromkeys(names, text), "required": names}
    answer = answer_schema(live.bundle.model)
    prediction = {**answer, "reasons": {"type": "array", "maxItems": REASONS, "items": ref("Reason")}}
    threshold = {"threshold": _THRESHOLD} if isinstance(live.bundle.model.head, Probability) else {}
    answered = {**threshold, "model": ref("Model"), "request_id": text}
    many = {"predictions": {"type": "array", "items": ref("Prediction")}}
    rows = {"type": "array", "items": ref("Row"), "minItems": 1, "maxItems": live.bundle.limits.rows}
    return {
        **_by_key(live.bundle.lookup, answered),
        **_events(live, explain, answered),
        "Row": row,
        "One": {**row, "properties": {**row["properties"], "explain": explain}},
        "Many": {**object_of({"rows": rows, "explain": explain}, ["rows"]), "additionalProperties": False},
        "Reason": object_of(
            {
                "feature": text,
                "value": {},
                "contribution": {"type": "number", "description": f"In {live.bundle.model.head.unit}."},
            },
            ["feature", "value", "contribution"],
        ),
        # The model is named where a challenger answered some rows of a request; the threshold is that model's.
        "Prediction": object_of({**prediction, **threshold, "model": ref("Model")}, list(answer)),
        **_entry(live.bundle.lookup, prediction, list(answer)),
        "Model": model,
        "Readiness": object_of(
            {
                "status": {"type": "string", "enum": ["starting", "ready", "degraded"]},
                "model": {"oneOf": [ref("Model"), {"type": "null"}]},
                "problem": {"type": ["string", "null"]},
            },
            ["status", "model", "problem"],
        ),
        "OneAnswer": object_of({**prediction, **answered}, [*answer, *answered]),
        "ManyAnswer": object_of({**many, **_LEFT_OUT, **answered}, ["predictions", *answered]),
        "Problem": object_of(
            {"row": {"type": "integer", "minimum": 0}, "field": text, "problem": text, "allowed": text},
            ["row", "field", "problem", "allowed"],
        ),
        "Error": object_of(
            {"error": text, "request_id": text, "problems": {"type": "array", "items": ref("Problem")}},
            ["error", "request_id"],
        ),
    }


def _events(live: Live, explain: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    """An event, several, and the answer where one event has a list of them."""
    raw, lookup = live.bundle.raw, live.bundle.lookup
    if raw is None:
        return {}
    fields = {rule.name: {**_WITHIN.get(rule.type, {}), **field_schema(rule)} for rule in raw.fields}
    required = [rule.name for rule in raw.fields if not rule.nullable]
    remember = {"type": "boolean", "description": "It has happened: later events see it. True if left out."}
    options = {"explain": explain, "remember": remember}
    row = {**object_of(fields, required), "additionalProperties": False}
    most = min(live.bundle.limits.rows, MAX_EVENTS)
    rows = {"type": "array", "items": ref("EventRow"), "minItems": 1, "maxItems": most}
    events = {"EventRow": row, "Event": {**row, "properties": {**fields, **options}}}
    if listed(live):
        assert lookup is not None
        entries: dict[str, Any] = {lookup.settings.answers: {"type": "array", "items": ref("Entry")}}
        return {**events, "ByEventAnswer": object_of({**entries, **_LEFT_OUT, **answered}, [*entries, *answered])}
    return {**events, "Events": {**object_of({"rows": rows, **options}, ["rows"]), "additionalProperties": False}}


_WITHIN: dict[str, dict[str, Any]] = {
    "integer": {"minimum": INTEGERS[0], "maximum": INTEGERS[1]},
    "string": {"maxLength": LONGEST},
    "timestamp": {"pattern": YEARS},
}
"""What a field of an event may be, whatever its rule says."""


def _by_key(lookup: "Lookup | None", answered: dict[str, Any]) -> dict[str, Any]:
    """A request that names a key, and its answer; nothing where there are no rows to find."""
    if lookup is None:
        return {}
    settings, example = lookup.settings, lookup.example()
    kind = {name: "integer" if isinstance(value, int) else "string" for name, value in example.items()}
    keys = {name: {"type": kind[name], "examples": [example[name]]} for name in settings.keys}
    limit = {settings.limit: {"type": "integer", "minimum": 1}} if settings.limit else {}
    entries = {"type": "array", "items": ref("Entry")}
    known = {"type": "boolean", "description": "False: the default key answers for one that is not there."}
    found = {settings.answers: entries, "known": known, "as_of": {"type": "string", "format": "date-time"}}
    explain = {"explain": {"type": "boolean", "description": EXPLAIN}}
    request = object_of({**keys, **limit, **explain}, list(settings.keys))
    return {
        "ByKey": {**request, "additionalProperties": False},
        "ByKeyAnswer": object_of({**found, **_LEFT_OUT, **answered}, [*found, *answered]),
    }


def _entry(lookup: "Lookup | None", prediction: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """A prediction with the columns that are shown beside it."""
    if lookup is None:
        return {}
    shown = lookup.settings.shown
    anything: dict[str, Any] = {name: {} for name in shown}
    return {"Entry": object_of({**anything, **prediction}, [*shown, *required])}
