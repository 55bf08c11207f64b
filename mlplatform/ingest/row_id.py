"""A key for rows that have none: a number of their content, the same in every read."""

from collections.abc import Collection

import pyarrow as pa

from mlplatform.contracts.casting import quote
from mlplatform.contracts.scratch import scratch
from mlplatform.errors import SourceError
from mlplatform.spec import RowId

__all__ = ["numbered"]

_BITS = 48


def numbered(rows: pa.Table, row_id: RowId, columns: Collection[str] | None = None) -> pa.Table:
    """The rows with the column `row_id.column` in front, int64[n] of 48 bits.

    Rows of equal content get numbers of their own, by how many came before: equal rows are exchangeable, so the order
    in which they come does not matter. Two different rows of one number, 1 chance in 560 among a million, meet the
    contract: the second is refused as a repeated key, and seen.

    What counts is which column has which value: not the columns' order, and not a column without a value. Of a source
    that has more columns than the contract, only those in `columns` count (None: all): one that is added later gives no
    row another number.

    Raises SourceError where the rows have a column of that name.
    """
    if row_id.column in rows.column_names:
        raise SourceError(
            f"the rows have a column `{row_id.column}` of their own; use it as the key and leave `row_id` out, or give "
            "`row_id.column` another name"
        )
    counted = [name for name in sorted(rows.column_names) if name not in row_id.without]
    if columns is not None:
        counted = [name for name in counted if name in columns]
    # Separators that no CSV has keep ("a", "bc") apart from ("ab", "c"), and a missing value apart from an empty one.
    parts = ", ".join(_part(name) for name in counted) or "''"
    content = f"concat({parts})"
    again = f"row_number() OVER (PARTITION BY {content})"
    with scratch() as con:
        con.register("incoming", rows)
        return con.execute(
            f"SELECT CAST(md5_number_lower(_content || chr(29) || _again) % {1 << _BITS} AS BIGINT) "
            f"AS {quote(row_id.column)}, * EXCLUDE (_content, _again) "
            f"FROM (SELECT *, {content} AS _content, {again} AS _again FROM incoming)"
        ).to_arrow_table()


def _part(name: str) -> str:
    text = name.replace("'", "''")
    return f"coalesce('{text}' || chr(30) || CAST({quote(name)} AS VARCHAR) || chr(31), '')"
