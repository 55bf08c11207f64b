"""Which features are made of the columns that are used: as they are, flags as 0 and 1, times as parts."""

from collections.abc import Sequence
from dataclasses import replace

from mlplatform.scaffold.column import Column
from mlplatform.scaffold.plan import Feature

__all__ = ["features_of"]

_MONTH, _WEEKDAY, _HOUR = (1, 12), (1, 7), (0, 23)


def features_of(columns: Sequence[Column], names: dict[str, str], timed: bool) -> list[Feature]:
    """The features of the columns, in their order; of a row's own time hour, weekday and month.

    `names`: name in the source -> legal name.
    """
    made = [feature for column in columns for feature in _of(column, names[column.name], timed)]
    made += _of_the_time() if timed else []
    taken, features = set(names.values()), []
    for each in made:
        feature = replace(each, name=_free(each.name, taken)) if each.is_part else each
        taken.add(feature.name)
        features.append(feature)
    return features


def _free(name: str, taken: set[str]) -> str:
    """A part of a time must not be called like a column, nor like another part."""
    return _free(f"{name}_", taken) if name in taken else name


def _of(column: Column, name: str, timed: bool) -> list[Feature]:
    if column.kind == "string":
        return [Feature(name, name, f"s.{name}", "category", column, column.name)]
    if column.kind == "boolean":
        return [Feature(name, name, f"cast(s.{name} as tinyint)", "flag", column, f"1: {column.name}.")]
    if column.kind == "timestamp":
        return _of_a_time(column, name, timed)
    kind = "whole" if column.kind == "integer" else "number"
    told = f"{column.name}, {column.unit}" if column.unit else column.name
    return [Feature(name, name, f"s.{name}", kind, column, told)]  # type: ignore[arg-type]


def _of_a_time(column: Column, name: str, timed: bool) -> list[Feature]:
    """How long before the row's time, where there is one: a date by itself only grows, and trees cannot follow it."""
    months = Feature(
        f"{name}_month", name, f"month(s.{name})", "whole", column, f"Month of {column.name}.", _MONTH, is_part=True
    )
    weekday = Feature(
        f"{name}_weekday",
        name,
        f"isodow(s.{name})",
        "whole",
        column,
        f"Weekday of {column.name}, Monday is 1.",
        _WEEKDAY,
        is_part=True,
    )
    day = "86400000000.0"
    since = f"(epoch_us(s.event_time) - epoch_us(s.{name})) / {day}" if timed else f"epoch_us(s.{name}) / {day}"
    told = f"Days from {column.name} to the row's time." if timed else f"{column.name}, days since 1970."
    return [Feature(f"{name}_days", name, since, "number", column, told, is_part=True), months, weekday]


def _of_the_time() -> list[Feature]:
    time = Column("event_time", "timestamp", 0, 0, 0)
    parts = {"hour": "hour(s.event_time)", "weekday": "isodow(s.event_time)", "month": "month(s.event_time)"}
    told = {"hour": "Hour of the row's time, UTC.", "weekday": "Its weekday, Monday is 1.", "month": "Its month."}
    bounds = {"hour": _HOUR, "weekday": _WEEKDAY, "month": _MONTH}
    return [
        Feature(f"event_{part}", "event_time", sql, "whole", time, told[part], bounds[part], is_part=True)
        for part, sql in parts.items()
    ]
