"""The base of every declared model: frozen, strict about unknown fields."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A column of the lake. Plain identifiers only: names are written into SQL, and a strange one should fail here."""


def one_of(values: Any) -> WithJsonSchema:
    """The JSON schema of an optional Literal: a validator then names the values, not "none of these schemas"."""
    return WithJsonSchema({"enum": [*get_args(values), None]})


class Declared(BaseModel):
    """What a person writes in a declaration. A misspelt field is an error, not a default; no number is endless."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
