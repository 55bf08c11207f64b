"""Columns that arrive and that the contract does not name, and columns of it that no longer arrive."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.contracts.casting import quote
from mlplatform.contracts.failures import Failure
from mlplatform.contracts.scratch import scratch
from mlplatform.errors import ContractError

__all__ = ["SchemaChange", "as_text", "frozen", "storable", "unknown_columns", "unknown_values", "with_gone_columns"]

# DuckLake's own columns.
_RESERVED = {"row_id", "rowid", "begin_snapshot", "end_snapshot"}

SchemaChange = Literal["ignore", "evolve", "freeze", "quarantine"]


def unknown_columns(contract: Any, table: pa.Table) -> list[str]:
    """The columns of `table` that the contract does not name."""
    return [name for name in table.column_names if name not in contract.columns]


def frozen(contract: Any, unknown: Sequence[str]) -> None:
    """Raises ContractError when there is a column that the contract does not name."""
    if unknown:
        raise ContractError(
            f"{contract.name}: the source has a new column {', '.join(unknown)}, and `schema_change: freeze` takes "
            "none. Nothing of this batch was loaded. Add it to the contract, or choose another `schema_change`."
        )


def storable(contract: Any, unknown: Sequence[str]) -> None:
    """Raises ContractError when a new column has a name that the table cannot take: DuckDB knows no case."""
    taken = {name.lower(): f"differs from `{name}` only in case" for name in contract.columns}
    for name in unknown:
        lower = name.lower()
        why = taken.get(lower)
        if not name:
            why = "is no name"
        if lower in _RESERVED or name.startswith("_"):
            why = "is a name that the lake keeps for itself"
        if why is not None:
            raise ContractError(
                f"{contract.name}: the source has a new column `{name}`, which {why}, so that `schema_change: evolve` "
                "cannot store it. Nothing of this batch was loaded. Rename it in the source or under `columns:`, or "
                "choose another `schema_change`."
            )
        taken[lower] = f"differs from `{name}` only in case"


def with_gone_columns(contract: Any, table: pa.Table, *, all_of_them: bool) -> pa.Table:
    """`table` with an empty column for each of the contract's that is not there; else those that may be missing."""
    for name, column in contract.columns.items():
        if name not in table.column_names and (column.nullable or all_of_them):
            table = table.append_column(name, pa.nulls(len(table), pa.string()))
    return table


def unknown_values(table: pa.Table, unknown: Sequence[str]) -> Iterator[Failure]:
    """Rows that hold a value in a column that the contract does not name."""
    for name in unknown:
        held = pc.is_valid(table[name]).to_numpy()
        yield Failure(name, "is a column that the contract does not name", np.flatnonzero(held))


def as_text(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """These columns as text, which any later value fits: lists and records as JSON, the rest as DuckDB writes it."""
    if not columns:
        return table.select([])
    selected = ", ".join(f"{_text(name, table.schema.field(name).type)} AS {quote(name)}" for name in columns)
    with scratch() as con:
        con.register("incoming", table.select(list(columns)))
        return con.execute(f"SELECT {selected} FROM incoming").to_arrow_table()


def _text(name: str, arrives_as: pa.DataType) -> str:
    return f"CAST(to_json({quote(name)}) AS VARCHAR)" if pa.types.is_nested(arrives_as) else f"{quote(name)}::VARCHAR"
