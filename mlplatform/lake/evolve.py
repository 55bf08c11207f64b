"""A table follows its rows: columns that are new, and those stored as text until the contract named them."""

from typing import TYPE_CHECKING, Any

from mlplatform.errors import LakeError
from mlplatform.lake.lake import table_exists
from mlplatform.lake.tables import columns_of, quoted, widen

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["fit_table"]


def fit_table(con: Any, table: str, rows: "pa.Table") -> None:
    """Give a table that exists the columns of `rows` that it lacks, and the type of `rows` where it holds text.

    Raises:
        LakeError: a text in it is not of that type.
    """
    widen(con, table, rows)
    if not table_exists(con, table):
        return
    stored, wanted = columns_of(con, table), _wanted(con, rows)
    for name, kind in wanted.items():
        if stored[name] == "VARCHAR" and kind != "VARCHAR":
            _retype(con, table, name, kind)


def _retype(con: Any, table: str, name: str, kind: str) -> None:
    own, new = quoted(name), quoted(f"{name}__typed")
    typed = _typed(own, kind)
    lost = con.execute(
        f"SELECT count(*), any_value({own}) FROM {table} WHERE nullif(trim({own}), '') IS NOT NULL AND {typed} IS NULL"
    ).fetchone()
    if lost[0]:
        raise LakeError(
            f"{table}: the column {name} was stored as text and is {kind} in the contract now, but {lost[0]} stored "
            f"values are none, e.g. '{lost[1]}'. Let it be `str` in the contract, or correct those rows in the source."
        )
    con.execute(f"ALTER TABLE {table} ADD COLUMN {new} {kind}")
    con.execute(f"UPDATE {table} SET {new} = {typed}")
    con.execute(f"ALTER TABLE {table} DROP COLUMN {own}")
    con.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {own}")


def _typed(own: str, kind: str) -> str:
    """SQL: a text as a contract's cast would take it: nothing is rounded, an offset counts."""
    # An empty text is no value.
    text = f"nullif(trim({own}), '')"
    cast = f"TRY_CAST({text} AS {kind})"
    if kind.startswith("TIMESTAMP"):
        # Straight to TIMESTAMP an offset such as +02:00 would be passed over.
        utc = f"TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
        return f"CASE WHEN regexp_matches({text}, ':\\d+.*[+-]\\d') THEN {utc} ELSE {cast} END"
    if kind.endswith("INT") or kind == "INTEGER":
        return f"CASE WHEN TRY_CAST({text} AS DOUBLE) = {cast} THEN {cast} END"
    return cast


def _wanted(con: Any, rows: "pa.Table") -> dict[str, str]:
    con.register("_wanted", rows)
    try:
        return columns_of(con, "_wanted")
    finally:
        con.unregister("_wanted")
