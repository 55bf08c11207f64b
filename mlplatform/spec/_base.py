"""The base of every declared model: frozen, strict about unknown fields."""

from pydantic import BaseModel, ConfigDict


class Declared(BaseModel):
    """What a person writes in a declaration. A misspelt field is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
