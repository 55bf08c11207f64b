"""Which task a target column asks for, what its classes are, and what the naive baseline reaches."""

import re
from collections.abc import Sequence

import duckdb

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.plan import Note, Target, TaskKind
from mlplatform.scaffold.typed import typed_sql

__all__ = ["LEAST_ROWS", "MOST_CLASSES", "choose_target"]

LEAST_ROWS = 100
"""Fewer labelled rows cannot be dealt to three parts that say anything."""
MOST_CLASSES = 30
_LEAST_PER_CLASS = 25
"""With fewer, chance may leave a part without any."""
_FEW_WHOLE = 12
"""A whole number with no more values is taken for a class."""
_POSITIVE = ("1", "true", "yes", "y", "t", "positive", "pos", "churned", "fraud", "bad", "default", "died", "dead")


def choose_target(
    con: duckdb.DuckDBPyConnection, column: Column, name: str, said: TaskKind | None
) -> tuple[Target, list[Note]]:
    """The task of a target, by what was said or by its values.

    Raises ScaffoldError where it is constant, or cannot be what was said.
    """
    _require_values(column)
    if said is None and column.looks_like:
        raise ScaffoldError(
            f"the target `{column.name}` looks like {column.looks_like}, e.g. {_some(con, column)}, and is not read as "
            "such. Write numbers with nothing but digits and a decimal point, leave empty what has none, and make a "
            "number of days of a date; or say --task multiclass if they are classes"
        )
    task = said or _guess(column)
    if task == "regression":
        return _amount(con, column, name, said)
    return _classes(con, column, name, task, said)


def _require_values(column: Column) -> None:
    if column.kind == "empty" or not column.known:
        raise ScaffoldError(f"the target `{column.name}` has no value in any row; name another with --target")
    if column.distinct < 2:
        value = column.values[0][0] if column.values else "one value"
        raise ScaffoldError(
            f"the target `{column.name}` is {value!r} in every row that has one: there is nothing to learn. "
            "Were the other rows filtered out on the way?"
        )
    if column.kind == "timestamp":
        raise ScaffoldError(f"the target `{column.name}` is a time; make a number of days or a class of it first")


def _guess(column: Column) -> TaskKind:
    if column.distinct == 2:
        return "binary"
    if column.kind in ("string", "boolean"):
        return "multiclass"
    return "multiclass" if column.kind == "integer" and column.distinct <= _FEW_WHOLE else "regression"


def _amount(
    con: duckdb.DuckDBPyConnection, column: Column, name: str, said: TaskKind | None
) -> tuple[Target, list[Note]]:
    if not column.is_number:
        raise ScaffoldError(
            f"the target `{column.name}` is no number"
            f"{f' ({column.looks_like})' if column.looks_like else ''}, e.g. {_some(con, column)}, so it cannot be a "
            "regression; correct it, or say --task multiclass"
        )
    _require_rows(column, column.known)
    value = f"CAST({typed_sql(column)} AS DOUBLE)"
    row = con.execute(
        f"SELECT avg(abs({value} - m)) FROM {TABLE}, (SELECT median({value}) AS m FROM {TABLE}) "
        f"WHERE {value} IS NOT NULL"
    ).fetchone()
    naive = float(row[0]) if row and row[0] is not None else 0.0
    return Target(column, name, "regression", said is None, labelled=column.known, naive=naive), _missing(column)


def _classes(
    con: duckdb.DuckDBPyConnection, column: Column, name: str, task: TaskKind, said: TaskKind | None
) -> tuple[Target, list[Note]]:
    alike = _alike(column)
    if alike and said != "multiclass":
        raise ScaffoldError(
            f"the target `{column.name}` writes one class in several ways: {alike}. Write each in one way, or say "
            "--task multiclass if they are different ones"
        )
    if not column.values or len(column.values) > MOST_CLASSES:
        raise ScaffoldError(
            f"the target `{column.name}` has about {column.distinct:,} different values, e.g. {_some(con, column)}: "
            f"too many for classes (at most {MOST_CLASSES}). Group them first"
            f"{', or say --task regression' if column.is_number else ''}"
        )
    enough = [(value, rows) for value, rows in column.values if rows >= _LEAST_PER_CLASS]
    rare = [f"{value} ({rows})" for value, rows in column.values if rows < _LEAST_PER_CLASS]
    notes = _missing(column)
    if rare:
        left = f"; two classes are left, {enough[0][0]!r} and {enough[1][0]!r}" if len(enough) == 2 else ""
        text = f"{', '.join(rare[:5])}: too few rows to learn and to judge; not learned{left}"
        notes.append(Note(column.name, "rare class", text))
    if alike:
        notes.append(Note(column.name, "spellings", f"{alike} are taken for different classes, as you said"))
    if len(enough) < 2 or (task == "binary" and len(column.values) != 2):
        raise ScaffoldError(
            f"the target `{column.name}` has {len(column.values)} values, {len(enough)} of them in at least "
            f"{_LEAST_PER_CLASS} rows ({_some(con, column)}); a {task} task needs "
            f"{'just' if task == 'binary' else 'at least'} two"
        )
    labelled = sum(rows for _, rows in enough)
    _require_rows(column, labelled)
    if task == "binary":
        classes = _negative_and_positive(enough)
        share = dict(enough)[classes[1]] / labelled
        return Target(column, name, task, said is None, classes, labelled, share), [*notes, *_imbalance(column, share)]
    values = sorted(value for value, _ in enough)
    ordered = tuple(sorted(values, key=float) if column.is_number else values)
    notes += _rare_ones(column, enough, labelled)
    return Target(column, name, task, said is None, ordered, labelled, enough[0][1] / labelled), notes


def _negative_and_positive(values: Sequence[tuple[str, int]]) -> tuple[str, str]:
    """By the word, else the rarer one is positive: it is what people look for."""
    by_rows = sorted(values, key=lambda each: each[1])
    named = [value for value, _ in values if _plain(value) in _POSITIVE]
    positive = named[0] if len(named) == 1 else by_rows[0][0]
    negative = next(value for value, _ in values if value != positive)
    return negative, positive


def _plain(value: str) -> str:
    """In lower case, and a whole number without its point: pandas writes whole numbers with gaps as 0.0 and 1.0."""
    return re.sub(r"^(\d+)\.0$", r"\1", value.strip().lower())


def _imbalance(column: Column, share: float) -> list[Note]:
    rare = min(share, 1 - share)
    if rare >= 0.1:
        return []
    what = "positive" if share < 0.5 else "negative"
    return [
        Note(column.name, "imbalance", f"{rare:.2%} of the rows are {what}: models are compared by average precision")
    ]


def _rare_ones(column: Column, classes: Sequence[tuple[str, int]], labelled: int) -> list[Note]:
    """Of several classes, those with less than a fifth of an even share; of two that is a tenth, as above."""
    rare = [(value, rows) for value, rows in classes if rows / labelled < 0.2 / len(classes)]
    if not rare:
        return []
    some = ", ".join(f"{value!r} ({rows / labelled:.2%})" for value, rows in rare[-3:])
    text = (
        f"of {len(classes)} classes {some} have few rows: a model that never says them is right nearly as often, so "
        "look at each class in the model card"
    )
    return [Note(column.name, "imbalance", text)]


def _alike(column: Column) -> str:
    """Values that differ in upper and lower case or in blanks only, with their rows; empty where there are none."""
    written: dict[str, list[str]] = {}
    for value, rows in column.values if column.kind == "string" else ():
        written.setdefault("".join(value.split()).casefold(), []).append(f"{value!r} ({rows:,})")
    return "; ".join(", ".join(each) for each in written.values() if len(each) > 1)


def _missing(column: Column) -> list[Note]:
    if not column.missing:
        return []
    return [
        Note(column.name, "no label", f"{column.missing:,} rows have no {column.name}: they are kept, not learned from")
    ]


def _require_rows(column: Column, labelled: int) -> None:
    if labelled < LEAST_ROWS:
        raise ScaffoldError(
            f"{labelled} of {column.rows} rows have a usable `{column.name}`: at least {LEAST_ROWS} are needed to "
            "learn and to judge"
        )


def _some(con: duckdb.DuckDBPyConnection, column: Column) -> str:
    """The most frequent values, as they stand there."""
    found = con.execute(
        f"SELECT v FROM (SELECT {typed_sql(column)} AS v FROM {TABLE}) WHERE v IS NOT NULL GROUP BY v "
        "ORDER BY count(*) DESC, v LIMIT 4"
    ).fetchall()
    return ", ".join(repr(value) for (value,) in found)
