"""From pandera's column types to the five kinds that a contract speaks of."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from mlplatform.errors import SpecError

__all__ = ["ColumnType", "Kind", "column_type"]

Kind = Literal["float", "integer", "boolean", "string", "timestamp"]


@dataclass(frozen=True)
class ColumnType:
    """The type of a contract's column: its kind, and DuckDB's name for the exact width."""

    kind: Kind
    sql: str


_EXACT: dict[str, ColumnType] = {
    "int8": ColumnType("integer", "TINYINT"),
    "int16": ColumnType("integer", "SMALLINT"),
    "int32": ColumnType("integer", "INTEGER"),
    "int64": ColumnType("integer", "BIGINT"),
    "uint8": ColumnType("integer", "UTINYINT"),
    "uint16": ColumnType("integer", "USMALLINT"),
    "uint32": ColumnType("integer", "UINTEGER"),
    "uint64": ColumnType("integer", "UBIGINT"),
    "float32": ColumnType("float", "FLOAT"),
    "float64": ColumnType("float", "DOUBLE"),
}
_FAMILIES: tuple[tuple[str, Kind, str], ...] = (
    (r"bool", "boolean", "BOOLEAN"),
    (r"datetime|timestamp", "timestamp", "TIMESTAMP"),
    (r"str|object|category", "string", "VARCHAR"),
)


def column_type(column: str, dtype: Any) -> ColumnType:
    """The type of a pandera column. Raises SpecError for one that rows of a table cannot have (timedelta, complex)."""
    name = str(dtype).lower()
    if name in _EXACT:
        return _EXACT[name]
    for pattern, kind, sql in _FAMILIES:
        if re.match(pattern, name):
            return ColumnType(kind, sql)
    raise SpecError(
        f"contract column `{column}` has the type {dtype}; use an integer, float, bool, str or pandas Timestamp."
    )
