"""The base of every declared model: frozen, strict about unknown fields."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A column of the lake. Plain identifiers only: names are written into SQL, and a strange one should fail here."""


class Declared(BaseModel):
    """What a person writes in a declaration. A misspelt field is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
