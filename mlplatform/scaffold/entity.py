"""The column that says whose row it is, where its values repeat: whether rows can be held together by it."""

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.plan import Note, Split

__all__ = ["of_entity", "require_entity"]

_MOST_MISSING = 0.05
"""The share of rows that may go to quarantine because nobody knows whose they are."""


def require_entity(column: Column) -> None:
    """Raises ScaffoldError where the column names nothing, or many rows have no value in it."""
    if column.kind in ("boolean", "timestamp", "empty"):
        what = {"boolean": "yes or no", "timestamp": "a time", "empty": "empty in every row"}[column.kind]
        raise ScaffoldError(
            f"--entity {column.name}: it is {what}, and names nobody. Name the column that says whose row it is, or "
            "leave --entity out"
        )
    if column.missing_share > _MOST_MISSING:
        raise ScaffoldError(
            f"--entity {column.name}: {column.missing:,} of {column.rows:,} rows have none, and nobody can say with "
            "which rows they belong. Give them one (each its own, where they belong to nobody), or take those rows out"
        )


def of_entity(column: Column | None, split: Split) -> list[Note]:
    """Rows without one, and what a split by time means for the others."""
    if column is None:
        return []
    notes = []
    if column.missing:
        text = f"{column.missing:,} of {column.rows:,} rows have no {column.name}: to quarantine; give them one"
        notes.append(Note(column.name, "no entity", text))
    if split.kind == "time":
        text = (
            "the time deals the rows, so that rows of the same one learn and judge; without --time all rows of one "
            "learn, or all judge. It stands beside the features and is none of them"
        )
        notes.append(Note(column.name, "entity", text))
    return notes
