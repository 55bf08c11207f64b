"""A contract as plain data: what a Bento carries and an application can read, without pandera."""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from mlplatform.contracts.types import Kind, column_type

__all__ = ["Rule", "describe", "dump_rules", "load_rules"]

Scalar = bool | int | float | str


class Rule(BaseModel):
    """What must hold for one column. The bounds are inclusive; None is no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: list[Scalar] | None = None
    description: str = ""
    example: Scalar | None = None


_RULES = TypeAdapter(tuple[Rule, ...])


def describe(schema: type[Any]) -> list[Rule]:
    """The rules of a pandera `DataFrameModel`, in its column order.

    Bounds and categories come from `ge, gt, le, lt, in_range, isin, eq`; own checks of the model have no plain form and
    are not here. The example is `metadata={"example": ...}` of the field.
    """
    return [_rule(name, column) for name, column in schema.to_schema().columns.items()]


def dump_rules(rules: list[Rule]) -> str:
    """The JSON of a contract.json."""
    return _RULES.dump_json(tuple(rules), indent=2).decode()


def load_rules(text: str) -> list[Rule]:
    """The rules of a contract.json. Raises pydantic.ValidationError for a text that is none."""
    return list(_RULES.validate_json(text))


def _rule(name: str, column: Any) -> Rule:
    kind = column_type(name, column.dtype).kind
    limits = [_limits(check, whole=kind == "integer") for check in column.checks]
    minima = [low for low, _ in limits if low is not None]
    maxima = [high for _, high in limits if high is not None]
    return Rule(
        name=name,
        type=kind,
        nullable=column.nullable,
        minimum=max(minima, default=None),
        maximum=min(maxima, default=None),
        categories=_categories(column.checks),
        description=column.description or "",
        example=(column.metadata or {}).get("example"),
    )


def _limits(check: Any, *, whole: bool) -> tuple[float | None, float | None]:
    """Inclusive bounds of a check; an exclusive bound becomes the next whole number, or the next float."""
    values = check.statistics or {}
    low, high = values.get("min_value"), values.get("max_value")
    if low is not None and (check.name == "greater_than" or not values.get("include_min", True)):
        low = low + 1 if whole else math.nextafter(low, math.inf)
    if high is not None and (check.name == "less_than" or not values.get("include_max", True)):
        high = high - 1 if whole else math.nextafter(high, -math.inf)
    return low, high


def _categories(checks: list[Any]) -> list[Scalar] | None:
    for check in checks:
        if check.name == "isin":
            return sorted(check.statistics["allowed_values"])
        if check.name == "equal_to":
            return [check.statistics["value"]]
    return None
