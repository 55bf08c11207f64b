"""A union of declared models told apart by their `kind`, with a JSON schema that says which kinds there are."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["ByKind"]


@dataclass(frozen=True)
class ByKind:
    """Goes beside `Field(discriminator="kind")` in an `Annotated` union.

    Pydantic writes such a union as `oneOf`, of which a JSON schema validator (an editor, `dg check yaml`) can only say
    that none of the models fits. As an enum of kinds, and one model for each, it names the allowed kinds of a wrong
    `kind`, and the wrong field of a right one.
    """

    default: str | None = None
    """The kind of one that names none."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook."""
        models: dict[str, Any] = handler(schema)["discriminator"]["mapping"]
        return {
            "type": "object",
            "required": [] if self.default else ["kind"],
            "properties": {"kind": {"enum": list(models)}},
            "allOf": [
                {
                    "if": {
                        "required": [] if kind == self.default else ["kind"],
                        "properties": {"kind": {"const": kind}},
                    },
                    "then": {"$ref": reference},
                }
                for kind, reference in models.items()
            ],
        }

    def named(self, given: Any) -> Any:
        """What a person wrote, with the default kind where it names none."""
        return {"kind": self.default, **given} if self.default and isinstance(given, dict) else given
