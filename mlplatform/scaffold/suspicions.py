"""Columns that are no features as they are, each with the reason; and what is odd of the table as a whole."""

import math
import re
from collections.abc import Callable, Sequence

import duckdb

from mlplatform.scaffold.column import Column, Profile
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.plan import Note, Target
from mlplatform.scaffold.typed import listed, typed_sql
from mlplatform.scaffold.writing import JSON

__all__ = [
    "is_identifier",
    "is_row_name",
    "missing_together",
    "of_column",
    "of_table",
    "of_target",
    "of_times",
    "of_writing",
]

MOST_CATEGORIES = 5000
_NEARLY_EMPTY = 0.95
_FEW_MISSING = 20
_ID_NAME = re.compile(
    r"(?i:(^|[_\s.-])(id|ids|key|uuid|guid|index|rownames?|rowid|nr|no)$|^unnamed: ?\d+$)|(?<=[a-z0-9])(Id|ID)$"
)
"""`paid` and `bid` are no such names, `customerId` is."""


def of_column(column: Column) -> Note | None:
    """Why a column is left out, by itself; None where nothing speaks against it."""
    for rule in _RULES:
        if (found := rule(column)) is not None:
            return Note(column.name, found[0], found[1], left_out=True)
    return None


def is_identifier(column: Column) -> bool:
    """Whether it names rows: every value is there once, and it is no amount."""
    unique = column.distinct >= 0.98 * column.known and column.known >= 50
    if not unique or column.kind not in ("integer", "string"):
        return False
    if column.kind == "string":
        return column.mean_words < 8
    assert column.minimum is not None, "an integer column with values has a least one"
    assert column.maximum is not None, "and a largest one"
    dense = column.maximum - column.minimum + 1 <= 1.5 * column.rows
    return dense or bool(_ID_NAME.search(column.name))


def is_row_name(column: Column) -> bool:
    """Whether it names rows so surely that it may be their key: a text of several words only where it is called so."""
    if not is_identifier(column) or column.looks_like:
        return False
    return column.kind == "integer" or column.mean_words < 1.5 or bool(_ID_NAME.search(column.name))


def _empty(column: Column) -> tuple[str, str] | None:
    if column.kind == "empty":
        return "empty", "no row has a value"
    if column.missing_share > _NEARLY_EMPTY:
        return "nearly empty", f"{column.missing_share:.1%} of the rows have no value"
    return None


def _constant(column: Column) -> tuple[str, str] | None:
    if column.distinct <= 1 and column.missing == 0:
        return "constant", f"every row says {column.values[0][0]!r}" if column.values else "every row says the same"
    if column.distinct <= 1 and column.missing < 0.01 * column.rows:
        return "constant", "every row says the same, or nothing"
    return None


def _foreign(column: Column) -> tuple[str, str] | None:
    if column.looks_like is None:
        return None
    if "but for" in column.looks_like:
        return "unread", f"{column.looks_like}; leave those empty to have it used"
    if column.looks_like == JSON:
        return "unread", f"{JSON}; make columns of what stands in it to have it used"
    wanted = "YYYY-MM-DD hh:mm:ss" if "date" in column.looks_like else "nothing but digits and a decimal point"
    return "unread", f"{column.looks_like}; write {wanted} to have it used"


def _texts(column: Column) -> list[Note]:
    """What stands among numbers and is taken for "no value"."""
    notes = []
    if column.texts:
        said = ", ".join(repr(text) for text in column.texts[:5]) + (", ..." if len(column.texts) > 5 else "")
        notes.append(Note(column.name, "texts", f"{said} among its numbers are taken to mean that there is none"))
    if column.decimal_comma:
        notes.append(Note(column.name, "comma", "numbers written as 1.234,5 are read as 1234.5"))
    if column.unit:
        notes.append(Note(column.name, "duration", f"is read, and asked for in requests, as a number of {column.unit}"))
    return notes


def _identifier(column: Column) -> tuple[str, str] | None:
    return ("identifier", "every row has a value of its own: it names rows") if is_identifier(column) else None


def _text(column: Column) -> tuple[str, str] | None:
    if column.kind == "string" and column.distinct > 50 and (column.mean_words >= 4 or column.mean_length > 60):
        return "text", f"free text ({column.mean_words:.0f} words on average): texts are not learned from yet"
    return None


def _code(column: Column) -> tuple[str, str] | None:
    if column.kind != "string":
        return None
    if column.distinct > MOST_CATEGORIES or column.distinct > 0.5 * column.known:
        return "code", f"{column.distinct:,} different values in {column.known:,} rows: too many for categories"
    return None


_RULES: tuple[Callable[[Column], tuple[str, str] | None], ...] = (
    _empty,
    _constant,
    _foreign,
    _identifier,
    _text,
    _code,
)


def of_writing(columns: Sequence[Column]) -> list[Note]:
    """What is read otherwise than it is written, of columns that are read."""
    return [note for column in columns for note in _texts(column)]


def of_table(profile: Profile) -> list[Note]:
    """Rows that are there twice."""
    if not profile.duplicates:
        return []
    share = profile.duplicates / profile.rows
    advice = ": were two exports put together? Equal rows may lie in train and test" if share > 0.01 else ""
    return [Note(None, "duplicates", f"{profile.duplicates:,} rows ({share:.1%}) repeat an earlier row{advice}")]


def of_times(con: duckdb.DuckDBPyConnection, time: Column | None, columns: list[Column]) -> list[Note]:
    """Times that lie behind the time of their row: nobody knew them then."""
    if time is None:
        return []
    notes = []
    for column in columns:
        if column.kind != "timestamp" or column.name == time.name:
            continue
        then, now = typed_sql(column), typed_sql(time)
        row = con.execute(f"SELECT avg(CAST({then} > {now} AS INTEGER)) FROM {TABLE}").fetchone()
        if row and row[0] is not None and row[0] > 0.5:
            text = f"lies after `{time.name}` in {row[0]:.0%} of the rows: it was not known then"
            notes.append(Note(column.name, "leak", text, left_out=True))
    return notes


def missing_together(con: duckdb.DuckDBPyConnection, target: Column, columns: list[Column]) -> list[Note]:
    """Columns that have no value in just the rows whose target is not known: they seem to be learned with it."""
    if target.missing < _FEW_MISSING:
        return []
    near = [each for each in columns if each.missing and 0.9 < each.missing / target.missing < 1.1]
    notes = []
    for column in near:
        lacks = [f"({typed_sql(each)}) IS NULL" for each in (column, target)]
        row = con.execute(
            f"SELECT count(*) FILTER ({lacks[0]} AND {lacks[1]}), count(*) FILTER ({lacks[0]} OR {lacks[1]}) "
            f"FROM {TABLE}"
        ).fetchone()
        if row and row[1] and row[0] / row[1] > 0.98:
            text = f"is missing in just the rows whose `{target.name}` is: it seems to become known with it"
            notes.append(Note(column.name, "leak", text, left_out=True))
    return notes


def of_target(con: duckdb.DuckDBPyConnection, target: Target, time: Column | None) -> list[Note]:
    """Whether the last fifth has another mean label than the first, beyond chance (z of two means above 5)."""
    if time is None:
        return []
    value = typed_sql(target.column)
    if target.task == "regression":
        asked = {"mean": value}
    else:
        looked_for = target.classes[1:] if target.task == "binary" else target.classes
        shares = {each: f"CAST(CAST({value} AS VARCHAR) IN ({listed([each])}) AS INTEGER)" for each in looked_for}
        asked = {f"share of {said!r}": share for said, share in shares.items()}
    found = [change for what, each in asked.items() if (change := _change(con, each, time, what)) is not None]
    if not found:
        return []
    changed = [text for _, text in sorted(found, reverse=True)]
    more = f", and {len(changed) - 3} more change" if len(changed) > 3 else ""
    return [Note(target.column.name, "target drift", f"{'; '.join(changed[:3])}{more}")]


def _change(con: duckdb.DuckDBPyConnection, value: str, time: Column, what: str) -> tuple[float, str] | None:
    """How far the mean of `value` moved (z of two means), and how it is said; None where chance may do it."""
    moment = typed_sql(time)
    rows = con.execute(
        f"SELECT fifth, avg(y), var_samp(y) / count(y), count(y) "
        f"FROM (SELECT ntile(5) OVER (ORDER BY {moment}) AS fifth, {value} AS y FROM {TABLE} "
        f"WHERE {value} IS NOT NULL) GROUP BY fifth ORDER BY fifth"
    ).fetchall()
    if len(rows) < 5 or rows[0][2] is None or rows[-1][2] is None:
        return None
    first, last, spread = rows[0][1], rows[-1][1], math.sqrt(rows[0][2] + rows[-1][2])
    if not spread or abs(last - first) / spread < 5 or abs(last - first) < 0.1 * max(abs(first), abs(last)):
        return None
    text = f"its {what} goes from {first:.4g} in the first fifth of the rows to {last:.4g} in the last"
    return abs(last - first) / spread, text
