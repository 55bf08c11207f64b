"""Rows as Arrow tables in a contract's types, and as pandas for pandera; no digit and no missing value is lost."""

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mlplatform.contracts.casting import ColumnType, cast_sql, given_sql, quote

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


@dataclass(frozen=True)
class Cast:
    """Rows in the types of a contract."""

    values: pa.Table
    """The contract's columns; NULL where there was no value or it was refused."""
    refused: dict[str, npt.NDArray[np.int64]]
    """Per column the positions of values that are not of its type."""


def as_arrow(rows: pa.Table | pd.DataFrame) -> pa.Table:
    """Arrow as it is; a frame column by column, one of mixed types as text."""
    if isinstance(rows, pa.Table):
        return rows
    return pa.table({str(name): _column(rows[name]) for name in rows.columns})


def as_frame(table: pa.Table) -> pd.DataFrame:
    """A frame whose columns keep their type where values are missing."""
    return pd.DataFrame({name: _series(table[name]) for name in table.column_names}, index=range(len(table)))


def cast_table(table: pa.Table, types: dict[str, ColumnType]) -> Cast:
    """`table` in the types of the contract. A column that is not there is NULL throughout; others are left out."""
    inner = [_cast(table, name, to) for name, to in types.items()]
    outer = [quote(name) for name in types]
    outer += [f"{_given(name)} AND {quote(name)} IS NULL AS {_given(name)}" for name in types]
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("incoming", table)
        query = f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM incoming)"
        answer = con.execute(query).to_arrow_table()
    refused = {name: np.flatnonzero(answer[len(types) + i].to_numpy()) for i, name in enumerate(types)}
    return Cast(answer.select(list(types)), refused)


def _cast(table: pa.Table, name: str, to: ColumnType) -> str:
    if name not in table.column_names:
        return f"CAST(NULL AS {to.sql}) AS {quote(name)}, false AS {_given(name)}"
    column, arrives_as = quote(name), table.schema.field(name).type
    return f"{cast_sql(column, arrives_as, to)} AS {column}, {given_sql(column, arrives_as)} AS {_given(name)}"


def _given(name: str) -> str:
    return quote(f"{name} (given)")


def _column(values: "pd.Series[Any]") -> pa.Array:
    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.Array.from_pandas(values.astype("string"))


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    return pd.Series(column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None))
