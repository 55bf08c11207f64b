"""What the document is put together from."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["JSON", "TURNED_AWAY", "answer_of", "object_of", "ref"]

JSON = "application/json"


def object_of(properties: Mapping[str, Any], required: Sequence[str] | None = None) -> dict[str, Any]:
    """Schema of an object; where nothing is said, all properties are required."""
    names = list(properties) if required is None else list(required)
    return {"type": "object", "properties": dict(properties), "required": names}


def ref(name: str) -> dict[str, str]:
    """One of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def answer_of(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A response of JSON."""
    return {"description": description, "content": {JSON: {"schema": schema}}}


TURNED_AWAY = {
    "401": answer_of("No valid key or token, where the service asks for one", ref("Error")),
    "421": answer_of("A service without keys was asked for a host that is not loopback", ref("Error")),
    "429": answer_of("Too many requests of this client; see Retry-After", ref("Error")),
    "503": answer_of("No model is loaded yet, or too much at once; see Retry-After", ref("Error")),
}
"""What any path but those of probes may answer before it is reached."""
