"""Which rows will learn. Whatever chooses among many columns by their labels may look at these alone: a choice that saw
the rows which judge later finds noise that fits them, and they would praise it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mlplatform.contracts.casting import quote
from mlplatform.ingest.row_id import numbered
from mlplatform.ml.splits import group_shares, time_windows
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.plan import Split, TimeSpan
from mlplatform.scaffold.typed import typed_sql
from mlplatform.spec import RowId
from mlplatform.spec.split import SplitByGroup, SplitByTime

__all__ = ["LEARNING", "Dealt", "mark_learning"]

LEARNING = "learning"
"""The table beside `incoming`, row by row: whether it `learns`."""
_NUMBERING = 50
"""So many columns of the most different values tell rows apart, where they are numbered by their content."""


@dataclass(frozen=True)
class Dealt:
    """How rows are dealt to the parts, and by what."""

    split: Split
    names: Mapping[str, str]
    """Name in the source -> legal name."""
    key: Column | None
    group: Column | None
    """Where its rows belong together, and it is no key."""
    time: Column | None
    span: TimeSpan | None
    label_delay_days: int = 0


def mark_learning(con: duckdb.DuckDBPyConnection, dealt: Dealt, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Make the table `learning`; those of `columns` whose content numbers the rows, none where a key or time deals.

    The number of a row must not depend on which columns are chosen: then nobody could tell before who learns.
    """
    if dealt.split.kind == "time":
        _by_time(con, dealt)
        return ()
    by = dealt.group or dealt.key
    numbering = () if by else tuple(sorted(columns, key=lambda each: -each.distinct)[:_NUMBERING])
    keys = _keys(con, dealt, by) if by else _numbers(con, dealt, numbering)
    split = SplitByGroup(kind="group", key="row", tune_share=dealt.split.tune_share, test_share=dealt.split.test_share)
    _store(con, group_shares(split)["train"].holds(keys))
    return numbering


def _by_time(con: duckdb.DuckDBPyConnection, dealt: Dealt) -> None:
    split, span = dealt.split, dealt.span
    assert dealt.time is not None, "a split by time has one"
    assert span is not None, "and its span"
    declared = SplitByTime(
        label_delay_days=dealt.label_delay_days,
        train_days=split.train_days,
        tune_days=split.tune_days,
        test_days=split.test_days,
    )
    # As the platform counts: back from the midnight behind the newest event.
    as_of = datetime.combine(span.last.date(), datetime.min.time()) + timedelta(days=1)
    train, _, _ = time_windows(declared, pd.Timestamp(as_of))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {LEARNING} AS SELECT coalesce(t >= $start AND t < $end, false) AS learns "
        f"FROM (SELECT {typed_sql(dealt.time)} AS t FROM {TABLE})",
        {"start": train.start.to_pydatetime(), "end": train.end.to_pydatetime()},
    )


def _keys(con: duckdb.DuckDBPyConnection, dealt: Dealt, by: Column) -> pd.Series:
    """As the features will hold them: whole numbers as such, a key's text with the blanks around it."""
    as_given = by is dealt.key and by.kind == "string"
    value = f"CAST({quote(by.name)} AS VARCHAR)" if as_given else typed_sql(by)
    # A row without one goes to quarantine; here it is a group of its own.
    rows = con.execute(f"SELECT {value} AS row FROM {TABLE}").to_arrow_table()["row"]
    keys = pd.Series(rows.to_pandas(integer_object_nulls=True))
    return keys.where(keys.notna(), "") if rows.null_count else keys


def _numbers(con: duckdb.DuckDBPyConnection, dealt: Dealt, columns: Sequence[Column]) -> pd.Series:
    """As the source will number its rows."""
    listed = ", ".join(f"{quote(each.name)} AS {dealt.names[each.name]}" for each in columns)
    rows = con.execute(f"SELECT row_number() OVER () AS row_id, {listed} FROM {TABLE}").to_arrow_table()
    told = numbered(rows, RowId(column="row_key", without=["row_id"]))
    return pd.Series(told.sort_by("row_id")["row_key"].to_numpy())


def _store(con: duckdb.DuckDBPyConnection, learns: npt.NDArray[np.bool_]) -> None:
    con.register("_learns", pa.table({"learns": learns}))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {LEARNING} AS FROM _learns")
    con.unregister("_learns")
