"""Rows as Arrow tables in a contract's types, and as pandas for pandera; no digit and no missing value is lost."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.contracts.casting import EARLIEST, LATEST, bounded_sql, cast_sql, given_sql, quote
from mlplatform.contracts.scratch import scratch
from mlplatform.contracts.types import ColumnType
from mlplatform.errors import SourceError

__all__ = ["Cast", "as_arrow", "as_frame", "cast_table"]

# pandas' own integers and booleans cannot be missing: with a gap they would become floats and objects.
_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}

# What DuckDB gives for each type of a contract.
_ARROW = {
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Cast:
    """Rows in the types of a contract."""

    values: pa.Table
    """The contract's columns; NULL where there was no value or it was refused."""
    refused: dict[str, npt.NDArray[np.int64]]
    """Per column the positions of values that are not of its type."""


def as_arrow(rows: pa.Table | pd.DataFrame) -> pa.Table:
    """Arrow in types that DuckDB reads; a frame column by column, one of mixed types as text.

    Raises SourceError for two columns of one name.
    """
    names = rows.column_names if isinstance(rows, pa.Table) else [str(name) for name in rows.columns]
    twice = sorted({name for name, times in Counter(names).items() if times > 1})
    if twice:
        raise SourceError(f"there are two columns `{'`, `'.join(twice)}`. Rename one of each, or leave it out")
    if isinstance(rows, pd.DataFrame):
        rows = pa.table({name: _column(rows.iloc[:, at]) for at, name in enumerate(names)})
    foreign = [name for name, kind in zip(names, rows.schema.types, strict=True) if _is_foreign(kind)]
    for name in foreign:
        rows = rows.set_column(names.index(name), name, _readable(rows[name]))
    return rows


def _is_foreign(kind: pa.DataType) -> bool:
    """Whether DuckDB (1.5.5) has no such type."""
    if pa.types.is_decimal256(kind) or pa.types.is_float16(kind):
        return True
    return any(_is_foreign(kind.field(at).type) for at in range(kind.num_fields))


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in a type that DuckDB has; a long decimal is text, with every digit, and what is nested JSON."""
    if pa.types.is_decimal256(column.type):
        return column.cast(pa.string())
    if pa.types.is_float16(column.type):
        return column.cast(pa.float32())
    texts = [None if value is None else json.dumps(value, default=str) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def as_frame(table: pa.Table) -> pd.DataFrame:
    """A frame whose columns keep their type where values are missing."""
    return pd.DataFrame({name: _series(table[name]) for name in table.column_names}, index=range(len(table)))


def cast_table(table: pa.Table, types: dict[str, ColumnType]) -> Cast:
    """`table` in the types of the contract. A column that is not there is NULL throughout; others are left out."""
    present = [name for name in types if name in table.column_names]
    ready = {name: table[name] for name in present if _is_ready(table[name], types[name])}
    done = _turned(table, {name: to for name, to in types.items() if name not in ready})
    values = ready | {name: done.values[name] for name in done.values.column_names}
    nothing: npt.NDArray[np.int64] = np.array([], dtype=np.int64)
    refused = dict.fromkeys(ready, nothing) | done.refused
    return Cast(pa.table({name: values[name] for name in types}), refused)


def _is_ready(column: pa.ChunkedArray, to: ColumnType) -> bool:
    """Whether every value already is what a cast would make of it: then nothing is copied."""
    if column.type != _ARROW.get(to.sql):
        return False
    if to.kind == "float":
        return bool(pc.all(pc.is_finite(column)).as_py() is not False)
    if to.kind == "timestamp":
        extremes = pc.min_max(column.cast(pa.int64()))  # a year beyond 9999 is no datetime
        first, last = (pa.scalar(moment, pa.timestamp("us")).value for moment in (EARLIEST, LATEST))
        return extremes["min"].as_py() is None or (first <= extremes["min"].as_py() <= extremes["max"].as_py() <= last)
    return True


def _turned(table: pa.Table, types: dict[str, ColumnType]) -> Cast:
    """The columns that must be cast, value by value."""
    if not types:
        return Cast(table.select([]), {})
    present = {name: to for name, to in types.items() if name in table.column_names}
    casts = [_value(table, name, to) for name, to in types.items()]
    bounded = [f"{bounded_sql(_raw(name), to)} AS {_cast(name)}" for name, to in types.items()]
    # The test for a blank text is dear: it is asked only where there is no value.
    refused = [
        f"CASE WHEN {_cast(name)} IS NULL THEN {given_sql(quote(name), table.schema.field(name).type)} ELSE false END"
        for name in present
    ]
    with scratch() as con:
        con.register("incoming", table.select(list(present)) if present else table)
        answers = ", ".join([*map(_cast, types), *refused])
        query = f"FROM (SELECT *, {', '.join(bounded)} FROM (SELECT *, {', '.join(casts)} FROM incoming))"
        columns = con.execute(f"SELECT {answers} {query}").to_arrow_table().columns
    masks = zip(present, columns[len(types) :], strict=True)
    return Cast(
        pa.table(columns[: len(types)], names=list(types)),
        {name: np.flatnonzero(mask.to_numpy()) for name, mask in masks},
    )


def _value(table: pa.Table, name: str, to: ColumnType) -> str:
    if name not in table.column_names:
        return f"CAST(NULL AS {to.sql}) AS {_raw(name)}"
    return f"{cast_sql(quote(name), table.schema.field(name).type, to)} AS {_raw(name)}"


def _raw(name: str) -> str:
    return quote(f"{name} (raw)")


def _cast(name: str) -> str:
    return quote(f"{name} (cast)")


def _column(values: "pd.Series[Any]") -> pa.Array:
    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.Array.from_pandas(values.astype("string"))


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    return pd.Series(column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None))
