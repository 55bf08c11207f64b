"""The time column that was named: whether it can be one, and where in time the mass of the rows lies.

A form's empty date becomes 1899-12-30, "never" the year 9999. Few such rows must not decide where the past ends.
"""

from datetime import datetime, timedelta
from typing import Any

import duckdb

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.plan import Note, TimeSpan
from mlplatform.scaffold.typed import typed_sql
from mlplatform.scaffold.writing import unreadable_times

__all__ = ["time_span"]

_BULK = 0.02
"""The share of rows that may lie aside at each end."""
_REACH = 3
"""Times further from the bulk than so often its own length are no part of the history."""
_FEW_LATE = 20
"""So many late moments are named one by one; a bound would refuse the rows of the year to come, too."""
_DAY = timedelta(days=1)


def time_span(con: duckdb.DuckDBPyConnection, column: Column, as_of: datetime) -> tuple[TimeSpan, list[Note]]:
    """Where the rows lie in time, and what is said of the few that lie elsewhere; `as_of` (UTC, no zone): now.

    Raises ScaffoldError where the column holds no times, or too many that no row can have.
    """
    _require_times(con, column)
    span = _span(con, column, as_of)
    notes = [Note(column.name, "stray time", _told(con, column, span))] if span.strays else []
    if column.missing:
        text = f"{column.missing:,} of {column.rows:,} rows have no time: to quarantine; give them one"
        notes.append(Note(column.name, "no time", text))
    return span, notes


def _require_times(con: duckdb.DuckDBPyConnection, column: Column) -> None:
    if column.kind != "timestamp":
        raise ScaffoldError(
            f"--time {column.name}: {_unreadable(con, column)}. Write times as YYYY-MM-DD hh:mm:ss (UTC, or with an "
            "offset), or leave --time out: rows are then dealt to the parts at random"
        )
    if column.missing_share > 0.005:
        raise ScaffoldError(
            f"--time {column.name}: {column.missing:,} of {column.rows:,} rows have no readable time (an infinite one "
            "is none); give them one, or take those rows out"
        )


def _unreadable(con: duckdb.DuckDBPyConnection, column: Column) -> str:
    """Which of its values are no times: those that are some of many, or all of them and what they look like."""
    if column.looks_like:
        return f"its values are no times that can be read ({column.looks_like})"
    wrong, some = unreadable_times(con, column)
    shown = ", ".join(repr(value) for value in some)
    if wrong == column.known:
        return f"its values are no times that can be read, e.g. {shown}"
    return f"{wrong:,} of {column.known:,} values are no times that can be read: {shown}"


def _span(con: duckdb.DuckDBPyConnection, column: Column, as_of: datetime) -> TimeSpan:
    low, high = _bulk(con, column, as_of)
    # A day at least: rows of one hour are no measure of what is far away.
    reach = _REACH * max(high - low, _DAY)
    earliest, latest = _shifted(low, -reach), min(_shifted(high, reach), as_of + _DAY)
    moment = typed_sql(column)
    early, late, future, first, last = _one(
        con,
        "SELECT count(*) FILTER (t < $earliest), count(*) FILTER (t > $latest AND t <= $now), "
        "count(*) FILTER (t > $now), min(t) FILTER (t BETWEEN $earliest AND $latest), "
        f"max(t) FILTER (t BETWEEN $earliest AND $latest) FROM (SELECT {moment} AS t FROM {TABLE})",
        {"earliest": earliest, "latest": latest, "now": as_of + _DAY},
    )
    never = _late_moments(con, column, latest, as_of) if late else ()
    bound = _midnight(earliest) if early else None
    return TimeSpan(first, last, strays=early + late + future, not_before=bound, never=never)


def _bulk(con: duckdb.DuckDBPyConnection, column: Column, as_of: datetime) -> tuple[datetime, datetime]:
    """The times between which nearly all rows lie. Raises ScaffoldError where many lie in no time."""
    moment = typed_sql(column)
    rows, future = _one(
        con,
        f"SELECT count(t), count(*) FILTER (t > $now) FROM (SELECT {moment} AS t FROM {TABLE})",
        {"now": as_of + _DAY},
    )
    if future > _BULK * rows:
        raise ScaffoldError(
            f"--time {column.name}: {future:,} of {rows:,} rows have a time that is yet to come, up to {column.last}; "
            "a row's time says when it was known. Choose another column, or correct those rows"
        )
    low, high = _one(
        con,
        f"SELECT quantile_disc(t, {_BULK}), quantile_disc(t, {1 - _BULK}) FROM (SELECT {moment} AS t FROM {TABLE}) "
        "WHERE t <= $now",
        {"now": as_of + _DAY},
    )
    return low, high


def _late_moments(
    con: duckdb.DuckDBPyConnection, column: Column, latest: datetime, as_of: datetime
) -> tuple[datetime, ...]:
    """Those that lie behind all others and are not yet to come: the source itself would take them for the newest."""
    found = con.execute(
        f"SELECT DISTINCT t FROM (SELECT {typed_sql(column)} AS t FROM {TABLE}) WHERE t > $latest AND t <= $now "
        f"ORDER BY t LIMIT {_FEW_LATE + 1}",
        {"latest": latest, "now": as_of + _DAY},
    ).fetchall()
    if len(found) > _FEW_LATE:
        raise ScaffoldError(
            f"--time {column.name}: nearly all rows lie before {latest:%Y-%m-%d}, and those of more than {_FEW_LATE} "
            f"moments far behind them (from {found[0][0]} on): the last part of the time would judge by next to no "
            "rows. Correct those rows, take them out, or leave --time out"
        )
    return tuple(moment for (moment,) in found)


def _told(con: duckdb.DuckDBPyConnection, column: Column, span: TimeSpan) -> str:
    moment = typed_sql(column)
    some = con.execute(
        f"SELECT t::VARCHAR, count(*) AS n FROM (SELECT {moment} AS t FROM {TABLE}) "
        "WHERE t NOT BETWEEN $first AND $last GROUP BY t ORDER BY n DESC, t LIMIT 3",
        {"first": span.first, "last": span.last},
    ).fetchall()
    shown = ", ".join(f"{value} ({rows:,})" for value, rows in some)
    lie = "rows lie" if span.strays > 1 else "row lies"
    return (
        f"{span.strays:,} {lie} far from the others ({span.first:%Y-%m-%d} to {span.last:%Y-%m-%d}): {shown}. To "
        "quarantine, and out of every decision; correct it in the data, or the bounds in contract.py"
    )


def _shifted(moment: datetime, by: timedelta) -> datetime:
    """Within the years that there are."""
    try:
        return moment + by
    except OverflowError:
        return datetime.min if by < timedelta(0) else datetime.max


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _one(con: duckdb.DuckDBPyConnection, query: str, told: dict[str, Any]) -> tuple[Any, ...]:
    row = con.execute(query, told).fetchone()
    assert row is not None, "an aggregate has one row"
    return tuple(row)
