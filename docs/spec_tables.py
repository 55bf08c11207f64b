"""Write the tables of every field of a declaration into docs/use-case.md, from the models themselves.

    .venv/bin/python docs/spec_tables.py

A test fails when the page and the models differ.
"""

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlplatform.spec.use_case import UseCase

PAGE = Path(__file__).parent / "use-case.md"
BEGIN, END = "<!-- spec: begin -->", "<!-- spec: end -->"


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_tables(page: str) -> str:
    """The page with the tables of today's models between its markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{''.join(table(name, model) for name, model in models())}{END}{rest.split(END)[1]}"


def models() -> list[tuple[str, type[BaseModel]]]:
    """Every model of a declaration, with the path under which it stands, from the outside in."""
    found: dict[str, type[BaseModel]] = {"attributes": UseCase}
    waiting = ["attributes"]
    while waiting:
        path = waiting.pop(0)
        for name, field in found[path].model_fields.items():
            inner = list(models_in(field.annotation))
            for model in inner:
                below = name if len(inner) == 1 else f"{name} (kind: {kind_of(model)})"
                place = below if path == "attributes" else f"{path.split(' (')[0]}.{below}"
                found[place] = model
                waiting.append(place)
    return list(found.items())


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


def kind_of(model: type[BaseModel]) -> str:
    return str(typing.get_args(model.model_fields["kind"].annotation)[0])


def table(place: str, model: type[BaseModel]) -> str:
    own = [line.strip() for line in (model.__doc__ or "").splitlines()]
    rows = "".join(row(name, field) for name, field in model.model_fields.items())
    head = "| field | values | default | meaning |\n| --- | --- | --- | --- |\n"
    return f"\n### `{place}`\n\n{' '.join(own).strip()}\n\n{head}{rows}"


def row(name: str, field: FieldInfo) -> str:
    meaning = re.sub(r"\s+", " ", field.description or "").replace("|", "\\|")
    return f"| `{name}` | {values(field)} | {default(field)} | {meaning} |\n"


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return "; ".join(f"`{each.model_dump(exclude_defaults=True)}`" for each in value)
    return "not set" if value is None else f"`{value}`"


def values(field: FieldInfo) -> str:
    limits = [described for limit in field.metadata for described in limits_of(limit)]
    return " ".join([kind(field.annotation), *limits])


def limits_of(limit: Any) -> Iterator[str]:
    if isinstance(limit, FieldInfo):
        # Of a type inside a union, such as `Days | None`.
        for each in limit.metadata:
            yield from limits_of(each)
        return
    names = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "of at least"}
    for attribute, sign in names.items():
        if getattr(limit, attribute, None) is not None:
            yield f"{sign} {getattr(limit, attribute)}"
    if getattr(limit, "pattern", None):
        name = "lower-case name" if limit.pattern.startswith("^[a-z") else "name"
        yield "like `2018-04-01`" if r"\d" in limit.pattern else name


def kind(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is typing.Annotated:
        return " ".join([kind(parts[0]), *(d for limit in parts[1:] for d in limits_of(limit))])
    if origin is tuple:
        return " and ".join(kind(part) for part in parts)
    if origin is list:
        return f"list, {kind(parts[0])}"
    if origin is dict:
        return "mapping"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in parts if part is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "any")


if __name__ == "__main__":
    main()
