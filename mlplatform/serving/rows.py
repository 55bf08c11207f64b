"""From JSON rows to the model's matrix, by the rules of the contract. All problems of a request are named at once.

The rules are compiled once per model, so that a good value costs one type test and two comparisons.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule

__all__ = ["MAX_PROBLEMS", "Column", "Problem", "RowReader", "describe_allowed", "example_value"]

# Numbers beyond this have no float64; JSON allows them.
LARGEST = sys.float_info.max
NAME_SHOWN = 64
MAX_PROBLEMS = 100
"""Reading stops here: neither the work nor the answer may grow with a hostile request."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: which row (counted from 0), which field, what, and what is allowed."""

    row: int
    field: str
    problem: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Column:
    """One compiled rule. `accepts`: the exact Python types of a good value; `low`, `high`: inclusive.

    `listed`: the categories of the contract; `codes`: category as text -> the number the model learned for it.
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
    codes: Mapping[str, float] | None
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
            return f"is {_kind_of(value)}"
        if self.listed is not None and value not in self.listed:
            return "is not one of the categories"
        if self.codes is not None:
            return self.codes.get(str(value), math.nan)
        return float(value) if self.listed is not None else self._in_range(value)

    def _in_range(self, value: float) -> float | str:
        if value < self.low:
            return "is below the minimum"
        if value > self.high:
            return "is above the maximum"
        # Only NaN is neither below, nor above, nor inside.
        return float(value) if self.low <= value else "is not a number"


class RowReader:
    """Reads rows for one model. Safe to share between threads: nothing changes after construction."""

    def __init__(
        self, features: Sequence[str], rules: Sequence["Rule"], categories: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """`categories`: categorical feature -> its categories, the position being the code that the model learned.

        Raises ArtifactError if a feature has no rule, or one whose type a model cannot take.
        """
        by_name = {rule.name: rule for rule in rules}
        missing = [name for name in features if name not in by_name]
        if missing:
            raise ArtifactError(f"the contract has no rule for {', '.join(missing)}; add it and build again")
        self.rules = tuple(by_name[name] for name in features)
        self.columns = tuple(_compile(rule, (categories or {}).get(rule.name)) for rule in self.rules)
        self._names = frozenset(features)

    def read(self, rows: Sequence[Any]) -> tuple[npt.NDArray[np.float64], list[Problem]]:
        """`rows`: JSON objects. Returns float64[n, f] in the model's order (NaN = null) and the problems.

        The matrix is empty if there is any problem; of more than MAX_PROBLEMS the first ones are returned.
        """
        problems: list[Problem] = []
        values: list[float] = []
        for number, row in enumerate(rows):
            if type(row) is dict:
                self._read_row(number, row, values, problems)
            else:
                problems.append(Problem(number, "", f"is {_kind_of(row)}", "an object of features"))
            if len(problems) >= MAX_PROBLEMS:
                break
        if problems:
            return np.empty((0, len(self.columns))), problems[:MAX_PROBLEMS]
        return np.array(values, dtype=np.float64).reshape(len(rows), len(self.columns)), problems

    def _read_row(self, number: int, row: dict[str, Any], values: list[float], problems: list[Problem]) -> None:
        present = 0
        for column in self.columns:
            value = row.get(column.name, _ABSENT)
            # NaN fails both comparisons.
            if type(value) in column.plain and column.low <= value <= column.high:
                values.append(value)
                present += 1
            elif value is _ABSENT:
                problems.append(Problem(number, column.name, "is missing", column.allowed))
            else:
                present += 1
                converted = column.convert(value)
                if isinstance(converted, str):
                    problems.append(Problem(number, column.name, converted, column.allowed))
                else:
                    values.append(converted)
        if present != len(row):
            unknown = (name for name in row if name not in self._names)
            problems.extend(self._unknown(number, name) for name in islice(unknown, MAX_PROBLEMS))

    def _unknown(self, number: int, name: str) -> Problem:
        near = get_close_matches(name[:NAME_SHOWN], self._names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Problem(number, name[:NAME_SHOWN], f"is not a feature of this model{hint}", "no such field")


def _compile(rule: "Rule", categories: Sequence[str] | None) -> Column:
    if rule.type == "timestamp":
        raise ArtifactError(f"feature {rule.name} is a timestamp; a model takes numbers, booleans and categories")
    if rule.type == "string" and categories is None:
        raise ArtifactError(f"feature {rule.name} is text but the model has no codes for it; declare it categorical")
    accepts = {"float": (float, int), "integer": (int,), "boolean": (bool,), "string": (str,)}[rule.type]
    listed = frozenset(rule.categories) if rule.categories else None
    codes = None if categories is None else {text: float(code) for code, text in enumerate(categories)}
    low = -LARGEST if rule.minimum is None else float(rule.minimum)
    high = LARGEST if rule.maximum is None else float(rule.maximum)
    plain = accepts if listed is None and codes is None else ()
    allowed = describe_allowed(rule)
    return Column(rule.name, rule.type, accepts, plain, low, high, rule.nullable, listed, codes, allowed)


def example_value(rule: "Rule") -> Any:
    """The contract's example, else some value that the rule allows."""
    if rule.example is not None or rule.nullable:
        return rule.example
    if rule.categories:
        return rule.categories[0]
    if rule.type in ("boolean", "string"):
        return False if rule.type == "boolean" else "example"
    low = -math.inf if rule.minimum is None else rule.minimum
    high = math.inf if rule.maximum is None else rule.maximum
    nearest = min(max(0.0, low), high)
    return math.ceil(nearest) if rule.type == "integer" else nearest


def describe_allowed(rule: "Rule") -> str:
    """What a client may send, in words, e.g. "a number, at least 0, at most 10000, or null"."""
    words = {"float": "a number", "integer": "a whole number", "boolean": "true or false", "string": "text"}
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


def _bound(inclusive: str, exclusive: str, bound: float, inwards: float) -> str:
    """An exclusive bound is stored as the next float inside of it; show the one that a person wrote."""
    written = round(bound, 9)
    if written != bound and math.nextafter(written, inwards) == bound:
        return f"{exclusive} {written:.12g}"
    return f"{inclusive} {bound:.12g}"


def _kind_of(value: Any) -> str:
    """What a JSON value is, never the value itself: errors do not echo input."""
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")
