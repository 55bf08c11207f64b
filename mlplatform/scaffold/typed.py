"""SQL for a column's values in the type that was found, and the texts that mean "missing"."""

from collections.abc import Sequence

import pyarrow as pa

from mlplatform.contracts.casting import quote, timestamp_sql
from mlplatform.scaffold.column import Column

__all__ = ["TEXT_MARKERS", "given_sql", "listed", "typed", "typed_sql", "without", "without_markers"]

TEXT_MARKERS = ("NA", "N/A", "n/a", "NULL", "null", "NaN", "nan", "#N/A", "<NA>")
"""Texts that stand for a missing value wherever they stand, as pandas reads them."""
_INFINITE = ("inf", "-inf", "+inf", "infinity", "-infinity", "+infinity")
_OF_SHEETS = ("#div/0!", "#value!", "#ref!", "#num!", "#name?", "1.#inf", "-1.#inf", "1.#qnan", "-1.#ind")
_AMONG_NUMBERS = ("none", "?", "-", "--", ".", "missing", "unknown", "-nan", *_INFINITE, *_OF_SHEETS)
_LOWER = tuple(dict.fromkeys([*(text.lower() for text in TEXT_MARKERS), *_AMONG_NUMBERS]))
"""Among numbers and times such texts, in whatever case, can mean nothing else."""


def given_sql(name: str) -> str:
    """SQL: the text of a value without the blanks around it; nothing but blanks is no value."""
    return f"nullif(trim(CAST({quote(name)} AS VARCHAR)), '')"


def typed_sql(column: Column) -> str:
    """SQL: the column's values in the type that was found, missing ones NULL."""
    return typed(column, given_sql(column.name))


def typed(column: Column, text: str) -> str:
    """The same of `text`, SQL for its values as text."""
    value = without(text, column.markers)
    match column.kind:
        case "integer":
            return f"TRY_CAST({value} AS BIGINT)"
        case "float":
            # As the platform's own casts do: what is infinite is no value.
            number = f"TRY_CAST({_pointed(value) if column.decimal_comma else value} AS DOUBLE)"
            return f"CASE WHEN isfinite({number}) THEN {number} END"
        case "boolean":
            return f"TRY_CAST({value} AS BOOLEAN)"
        case "timestamp":
            return timestamp_sql(value, pa.string())
        case _:
            return value


def _pointed(value: str) -> str:
    """1.234,5 as 1234.5; what the source does with `decimal_comma`."""
    return f"replace(replace({value}, '.', ''), ',', '.')"


def without(value: str, markers: Sequence[str]) -> str:
    """SQL: NULL where a value is one of the texts."""
    return f"CASE WHEN {value} NOT IN ({listed(markers)}) THEN {value} END" if markers else value


def without_markers(value: str) -> str:
    """SQL: NULL where a value can be no number and no time, but means that there is none."""
    return f"CASE WHEN lower({value}) NOT IN ({listed(_LOWER)}) THEN {value} END"


def listed(texts: Sequence[str]) -> str:
    """SQL: texts of a list."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
