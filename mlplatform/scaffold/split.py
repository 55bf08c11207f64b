"""How rows are dealt: by the time where there is one, and where it is long enough; else by a hash."""

import math
from datetime import datetime, timedelta

import duckdb

from mlplatform.scaffold.column import Column
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.plan import Note, Split, TimeSpan
from mlplatform.scaffold.typed import typed_sql

__all__ = ["choose_split"]

_LEAST_DAYS = 5
_DAY = timedelta(days=1)


def choose_split(
    con: duckdb.DuckDBPyConnection, time: Column | None, span: TimeSpan | None, by: str, delay_days: int
) -> tuple[Split, list[Note]]:
    """The split; `by`: legal name of the column whose hash deals rows, where no time does.

    By time, the last fifth of the rows whose label is known by then judges, and the fifth before tunes.
    """
    if time is None or span is None:
        return Split("group", key=by), []
    # As the platform counts: back from the midnight behind the newest event, with a gap of the delay before each part.
    end = datetime.combine(span.last.date(), datetime.min.time()) + _DAY - timedelta(days=delay_days)
    row = con.execute(
        f"SELECT quantile_disc(t, 0.6), quantile_disc(t, 0.8) FROM (SELECT {typed_sql(time)} AS t FROM {TABLE}) "
        "WHERE t BETWEEN $first AND $last AND t < $end",
        {"first": span.first, "last": span.last, "end": end},
    ).fetchone()
    tune_from, test_from = row or (None, None)
    whole = (end - span.first) / _DAY
    if tune_from is not None:
        test = max(1, round((end - test_from) / _DAY))
        tune = max(1, round((end - tune_from) / _DAY) - test)
        train = math.ceil(whole) - test - tune - 2 * delay_days
        if train >= 1 and whole >= _LEAST_DAYS:
            return Split("time", train_days=train, tune_days=tune, test_days=test), []
    gaps = f" and leave gaps of {delay_days} days" if delay_days else ""
    text = (
        f"all rows lie between {span.first} and {span.last}: too few days to cut by{gaps}, so rows are dealt at random"
    )
    return Split("group", key=by), [Note(time.name, "short", text)]
