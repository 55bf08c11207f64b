"""From JSON objects to typed events, by the rules of the contract; what is wrong is named as for features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlplatform.serving.column import Column, compile_column, describe_allowed, kind_of
from mlplatform.serving.identity import EXACT, INTEGERS, LONGEST, as_moment
from mlplatform.serving.rows import MAX_PROBLEMS, NAME_SHOWN, Problem

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule

__all__ = ["EventReader"]

_ARROW: Mapping[str, pa.DataType] = {
    "float": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: str
    nullable: bool
    allowed: str
    column: Column | None
    """Checks numbers, booleans and listed values; None for times and free text."""

    def read(self, value: Any) -> Any:
        """The typed value. Raises ValueError with what is wrong."""
        if value is None:
            return self._null()
        if self.kind == "timestamp":
            return self._moment(value)
        if self.column is None:
            return self._text(value)
        converted = self.column.convert(value)
        if isinstance(converted, str):
            raise ValueError(converted)  # noqa: TRY004  (the words of a problem, not a type error of ours)
        if self.kind == "integer":
            return self._whole(value)
        return converted if self.kind == "float" else value

    def _null(self) -> None:
        if not self.nullable:
            raise ValueError("is null")

    def _moment(self, value: Any) -> datetime:
        moment = as_moment(value)
        if moment is None:
            raise ValueError("is not a time")
        return moment

    def _text(self, value: Any) -> str:
        if type(value) is not str:
            raise ValueError(f"is {kind_of(value)}")
        if len(value) > LONGEST:
            raise ValueError(f"is longer than {LONGEST} characters")
        return value

    def _whole(self, value: float) -> int:
        """Of a number without a fraction."""
        if type(value) is float and abs(value) >= EXACT:
            raise ValueError("has lost digits, as a number with a point or an exponent; send it without")
        if not INTEGERS[0] <= value <= INTEGERS[1]:
            raise ValueError("does not fit into 64 bits")
        return int(value)


class EventReader:
    """Reads events of one use case. Nothing changes after construction."""

    def __init__(self, rules: Sequence["Rule"]) -> None:
        self._fields = {rule.name: _field(rule) for rule in rules}
        self.schema = pa.schema([(rule.name, _ARROW[rule.type]) for rule in rules])

    def read(self, rows: Sequence[Any]) -> tuple[list[dict[str, Any]], list[Problem]]:
        """The events with a value for each field, and what is wrong; of more than MAX_PROBLEMS the first ones."""
        problems: list[Problem] = []
        events = []
        for number, row in enumerate(rows):
            if type(row) is not dict:
                problems.append(Problem(number, "", f"is {kind_of(row)}", "an object of the event's fields"))
            else:
                events.append(self._event(number, row, problems))
            if len(problems) >= MAX_PROBLEMS:
                break
        return events, problems[:MAX_PROBLEMS]

    def table(self, events: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The events as Arrow: one column per field."""
        return pa.table({name: [event[name] for event in events] for name in self._fields}, schema=self.schema)

    def _event(self, number: int, row: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
        event: dict[str, Any] = {}
        for name, field in self._fields.items():
            if name not in row and not field.nullable:
                problems.append(Problem(number, name, "is missing", field.allowed))
                continue
            try:
                event[name] = field.read(row.get(name))
            except ValueError as error:
                problems.append(Problem(number, name, str(error), field.allowed))
        if not row.keys() <= self._fields.keys():
            unknown = [name for name in row if name not in self._fields]
            problems.extend(self._unknown(number, name) for name in unknown[:MAX_PROBLEMS])
        return event

    def _unknown(self, number: int, name: str) -> Problem:
        near = get_close_matches(name[:NAME_SHOWN], self._fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Problem(number, name[:NAME_SHOWN], f"is no field of an event{hint}", "no such field")


def _field(rule: "Rule") -> _Field:
    plain = rule.type == "timestamp" or (rule.type == "string" and not rule.categories)
    codes = [str(category) for category in rule.categories or ()] if rule.type == "string" else None
    column = None if plain else compile_column(rule, codes)
    return _Field(rule.name, rule.type, rule.nullable, describe_allowed(rule), column)
