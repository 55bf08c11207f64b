"""Rows as Arrow tables in a contract's types, and as pandas for pandera; no digit and no missing value is lost."""

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mlplatform.contracts.casting import cast_sql, given_sql, quote
from mlplatform.contracts.types import ColumnType

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
    present = {name: to for name, to in types.items() if name in table.column_names}
    values = [_value(table, name, to) for name, to in types.items()]
    # The test for a blank text is dear: it is asked only where there is no value.
    refused = [
        f"CASE WHEN {_cast(name)} IS NULL THEN {given_sql(quote(name), table.schema.field(name).type)} ELSE false END"
        for name in present
    ]
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("incoming", table)
        answers = ", ".join([*map(_cast, types), *refused])
        query = f"SELECT {answers} FROM (SELECT *, {', '.join(values)} FROM incoming)"
        columns = con.execute(query).to_arrow_table().columns
    masks = zip(present, columns[len(types) :], strict=True)
    return Cast(
        pa.table(columns[: len(types)], names=list(types)),
        {name: np.flatnonzero(mask.to_numpy()) for name, mask in masks},
    )


def _value(table: pa.Table, name: str, to: ColumnType) -> str:
    if name not in table.column_names:
        return f"CAST(NULL AS {to.sql}) AS {_cast(name)}"
    return f"{cast_sql(quote(name), table.schema.field(name).type, to)} AS {_cast(name)}"


def _cast(name: str) -> str:
    return quote(f"{name} (cast)")


def _column(values: "pd.Series[Any]") -> pa.Array:
    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.Array.from_pandas(values.astype("string"))


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    return pd.Series(column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None))
