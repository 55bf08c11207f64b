"""JSON objects as Arrow columns: a value that fits its column's others keeps its type, else all of them are text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

__all__ = ["at_path", "has_path", "records_table"]


def records_table(records: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """A row for each object, in order; a member that an object lacks is NULL.

    Args:
        records: parsed with `parse_float=str`, so that no digit is lost.
        columns: contract name -> name in the objects, where dots lead into what is nested; members that are not named
            keep their name.
    """
    taken = {name for name in columns.values() if "." not in name}
    names = dict.fromkeys(name for record in records for name in record if name not in taken and name not in columns)
    given = {name: [at_path(record, own) for record in records] for name, own in columns.items()}
    given |= {name: [record.get(name) for record in records] for name in names}
    return pa.table({_written(name): _column(values) for name, values in given.items()})


def at_path(value: Any, path: str | None) -> Any:
    """What stands at names joined by dots; None where there is no such thing. A name that has dots itself is found."""
    if path is None:
        return value
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def has_path(value: Any, path: str) -> bool:
    """Whether something stands there, be it null."""
    if isinstance(value, Mapping) and path in value:
        return True
    outer, _, name = path.rpartition(".")
    inner = at_path(value, outer or None)
    return isinstance(inner, Mapping) and name in inner


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} or kinds == {str} or (kinds == {int} and _fit(values)):
        return _texts(values) if kinds == {str} else pa.array(values, pa.string() if not kinds else None)
    return _texts([_text(value) for value in values])


def _texts(values: list[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if value is None else _written(value) for value in values], pa.string())


def _written(text: str) -> str:
    """JSON may name half a character (`\\ud83d` alone), which no text can hold: it stays as JSON writes it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _fit(values: Iterable[Any]) -> bool:
    return all(value is None or -(2**63) <= value < 2**63 for value in values)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
