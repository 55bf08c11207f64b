"""One rule of the contract, compiled to what the hot path needs, and said in words for people."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlplatform.errors import ArtifactError

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule

__all__ = ["Column", "compile_column", "describe_allowed", "example_value", "kind_of", "schema_bounds"]

# Numbers beyond this have no float64; JSON allows them.
LARGEST = sys.float_info.max
_EXAMPLES = {"boolean": False, "string": "example", "timestamp": "2020-01-01T00:00:00"}
_READERS: Mapping[str, Callable[[str], Any]] = {"string": str, "boolean": "True".__eq__}


@dataclass(frozen=True, slots=True)
class Column:
    """One compiled rule. `accepts`: the exact Python types of a good value; `low`, `high`: inclusive.

    `listed`: the categories of the contract; `codes`: category -> the number the model learned for it.
    `plain`: types whose values go to the model as they are if they are in range; none for a column with categories.
    """

    name: str
    kind: str
    accepts: tuple[type, ...]
    plain: tuple[type, ...]
    low: float
    high: float
    nullable: bool
    listed: frozenset[Any] | None
    codes: Mapping[Any, float] | None
    allowed: str

    def convert(self, value: Any) -> float | str:
        """For whatever the fast test refused: the number the model sees (NaN = unknown to it), or what is wrong."""
        if value is None:
            return math.nan if self.nullable else "is null"
        if self.kind == "integer" and type(value) is float:
            if not value.is_integer():
                return "is not a whole number"
            value = int(value)  # 3.0 is an integer in JSON Schema too
        if type(value) not in self.accepts:
            return f"is {kind_of(value)}"
        if self.listed is not None and value not in self.listed:
            return "is not one of the categories"
        if self.codes is not None:
            return self.codes.get(value, math.nan)
        return float(value) if self.listed is not None else self._in_range(value)

    def _in_range(self, value: float) -> float | str:
        if value < self.low:
            return "is below the minimum"
        if value > self.high:
            return "is above the maximum"
        # Only NaN is neither below, nor above, nor inside.
        return float(value) if self.low <= value else "is not a number"


def compile_column(rule: "Rule", categories: Sequence[str] | None) -> Column:
    """`categories`: those that the model learned, as text, the position being the code; None if it is not categorical.

    Raises ArtifactError if a model cannot take a column of this type.
    """
    if rule.type == "timestamp":
        raise ArtifactError(f"feature {rule.name} is a timestamp; a model takes numbers, booleans and categories")
    if rule.type == "string" and categories is None:
        raise ArtifactError(f"feature {rule.name} is text but the model has no codes for it; declare it categorical")
    accepts = {"float": (float, int), "integer": (int,), "boolean": (bool,), "string": (str,)}[rule.type]
    listed = frozenset(rule.categories) if rule.categories else None
    codes = None if categories is None else _codes(rule, categories)
    low = -LARGEST if rule.minimum is None else float(rule.minimum)
    high = LARGEST if rule.maximum is None else float(rule.maximum)
    plain = accepts if listed is None and codes is None else ()
    allowed = describe_allowed(rule)
    return Column(rule.name, rule.type, accepts, plain, low, high, rule.nullable, listed, codes, allowed)


def _codes(rule: "Rule", categories: Sequence[str]) -> dict[Any, float]:
    """Keys as they come in a request: 3 and "3.0" (as pandas writes an integer column with nulls) are one category."""
    as_value = _READERS.get(rule.type, float)
    try:
        return {as_value(text): float(code) for code, text in enumerate(categories)}
    except ValueError as error:
        raise ArtifactError(
            f"feature {rule.name}: the model's categories are not of type {rule.type}: {error}"
        ) from None


def example_value(rule: "Rule") -> Any:
    """The contract's example, else some value that the rule allows."""
    if rule.example is not None or rule.nullable:
        return rule.example
    if rule.categories:
        return rule.categories[0]
    if rule.type in _EXAMPLES:
        return _EXAMPLES[rule.type]
    low = -math.inf if rule.minimum is None else rule.minimum
    high = math.inf if rule.maximum is None else rule.maximum
    nearest = min(max(0.0, low), high)
    return math.ceil(nearest) if rule.type == "integer" else nearest


def describe_allowed(rule: "Rule") -> str:
    """What a client may send, in words, e.g. "a number, at least 0, at most 10000, or null"."""
    words = {
        "float": "a number",
        "integer": "a whole number",
        "boolean": "true or false",
        "string": "text",
        "timestamp": "an ISO 8601 time of 1900 to 2199, such as 2018-08-01T12:00:00",
    }
    parts = [words[rule.type]]
    if rule.categories:
        parts = ["one of " + ", ".join(str(category) for category in rule.categories)]
    if rule.minimum is not None:
        parts.append(_bound("at least", "more than", rule.minimum, math.inf))
    if rule.maximum is not None:
        parts.append(_bound("at most", "less than", rule.maximum, -math.inf))
    if rule.nullable:
        parts.append("or null")
    return ", ".join(parts)


def schema_bounds(rule: "Rule") -> dict[str, float]:
    """The same bounds as JSON Schema has them, whole numbers without a fraction."""
    bounds: dict[str, float] = {}
    for end, bound, inwards in (("Minimum", rule.minimum, math.inf), ("Maximum", rule.maximum, -math.inf)):
        if bound is not None:
            written, exclusive = _written(bound, inwards)
            bounds[f"exclusive{end}" if exclusive else end.lower()] = int(written) if written.is_integer() else written
    return bounds


def _bound(inclusive: str, exclusive: str, bound: float, inwards: float) -> str:
    written, excluded = _written(bound, inwards)
    return f"{exclusive if excluded else inclusive} {written:.12g}"


def _written(bound: float, inwards: float) -> tuple[float, bool]:
    """An exclusive bound is stored as the next float inside of it: the one that a person wrote, and if it is such."""
    written = round(bound, 9)
    exclusive = written != bound and math.nextafter(written, inwards) == bound
    return (written, True) if exclusive else (bound, False)


def kind_of(value: Any) -> str:
    """What a JSON value is, never the value itself: errors do not echo input."""
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")
