"""Schemas of what is sent: rows of features, as the contract has them."""

from typing import TYPE_CHECKING, Any

from mlplatform.serving.column import describe_allowed, example_value, schema_bounds
from mlplatform.serving.identity import INTEGERS, LONGEST, YEARS, Identity

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule

__all__ = ["field_schema", "row_schema"]

JSON_TYPES = {
    "float": "number",
    "integer": "integer",
    "boolean": "boolean",
    "string": "string",
    "timestamp": "string",
}

_TIMES = (
    "ISO 8601, also without dashes and colons; UTC where no offset is said. Of RFC 3339, which `date-time` means, the "
    "lower-case z and the leap second (60) are refused."
)


def row_schema(rules: tuple["Rule", ...], identity: Identity | None = None) -> dict[str, Any]:
    """JSON Schema (2020-12) of one row: every feature is required, null is a value; beside them a row may say what it
    is about, nothing else."""
    features = {rule.name: field_schema(rule) for rule in rules}
    return {
        "type": "object",
        "properties": {**features, **_about(identity or Identity(), frozenset(features))},
        "required": [rule.name for rule in rules],
        "additionalProperties": False,
    }


def _about(identity: Identity, features: frozenset[str]) -> dict[str, Any]:
    """Keys and event time: not required."""
    kept = "Kept with the prediction, not used by the model; its label is found by it."
    moment = {
        "type": "string",
        "format": "date-time",
        "pattern": YEARS,
        "description": f"When it happened. {_TIMES} {kept}",
    }
    whole = {"minimum": INTEGERS[0], "maximum": INTEGERS[1]}
    key = {"type": ["string", "integer"], "maxLength": LONGEST, **whole, "description": kept}
    names = identity.names(features)
    return {name: moment if name == identity.event_time else key for name in sorted(names)}


def field_schema(rule: "Rule") -> dict[str, Any]:
    """Of one feature or field."""
    kind = JSON_TYPES[rule.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if rule.nullable else kind}
    if rule.type == "timestamp":
        schema["format"] = "date-time"
    if rule.categories:
        schema["enum"] = [*rule.categories, *([None] if rule.nullable else [])]
    schema.update(schema_bounds(rule))
    schema["description"] = rule.description or describe_allowed(rule)
    if rule.type == "timestamp":
        schema["description"] += f". {_TIMES}"
    schema["examples"] = [example_value(rule)]
    return schema
