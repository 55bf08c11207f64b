"""A key for rows that nothing identifies."""

from mlplatform.spec._base import ColumnName, Declared

__all__ = ["RowId"]


class RowId(Declared):
    """A number for each row of a table that has no key: of its content, so that it is the same in every read.

    48 bits of the MD5 of the values that the contract names, so that JSON and float64 hold it; equal rows are numbered
    on. Neither the order of the columns, nor one that the contract does not name, nor `missing_values` count.
    """

    column: ColumnName = "row_key"
    """What the column is called; name it in `key`. DuckLake keeps the name `row_id` for itself."""
    without: list[ColumnName] = []
    """Columns that do not count, such as the label: a row whose label becomes known later stays the same row."""
