"""Why served features differ from those in the lake: skew, or a past that came later, or another definition."""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.late_history import Answered, Then, features_then
from mlplatform.lake.served_skew import TOLERANCE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CAUSES",
    "LATE",
    "MOST_LOOKED_AT",
    "NOT_LOOKED_AT",
    "OTHER_DEFINITION",
    "OTHER_EVENT",
    "SKEW",
    "with_causes",
]

SKEW, LATE, OTHER_DEFINITION, NOT_LOOKED_AT = "skew", "late", "other_definition", "not_looked_at"
OTHER_EVENT = "other_event"
CAUSES = {
    SKEW: "the past of the example has not changed since the answer: the lake's value should have been served",
    LATE: "rows of its past reached the lake, or were corrected, after the answer: nobody could have served this value",
    OTHER_DEFINITION: "the answering version learned from another text of the features than the lake's are made by",
    OTHER_EVENT: "the request told of another moment than the lake's row of its key: a key that was used twice",
    NOT_LOOKED_AT: "beyond what one report computes again, or the lake of then is no longer kept",
}
_TO_LOAD = timedelta(minutes=1)
"""A service sees a commit after a second, and then has to read it."""
MOST_LOOKED_AT = 2000
"""Examples that one report computes again: one that is skewed is enough to fail it."""


def with_causes(lake: Lake, query: FeatureQuery, differences: "pa.Table", other_texts: Collection[int]) -> "pa.Table":
    """The differences of `served_skew` with a `cause` each, and `then`: the value on the lake as it was (as text).

    `other_texts`: the versions that learned from another text than `query`. Without the columns `example` and
    `known_from`, which hold keys that the journal may have hashed, and `other_event`, which is a cause.
    """
    import pyarrow as pa

    rows = differences.to_pylist()
    plain = [_plain_cause(row, other_texts) for row in rows]
    ours = [row for row, cause in zip(rows, plain, strict=True) if cause is None]
    then = features_then(lake, query, _newest(ours))
    causes = [cause or _cause(row, then) for row, cause in zip(rows, plain, strict=True)]
    doubtful = [row for row, cause in zip(rows, causes, strict=True) if cause == SKEW]
    before = features_then(lake, query, _newest(doubtful), earlier=_TO_LOAD)
    causes = [
        LATE if cause == SKEW and _served_from(row, before) else cause for row, cause in zip(rows, causes, strict=True)
    ]
    values = [_text(then[_answered(row)].then.get(row["column"])) if _answered(row) in then else None for row in rows]
    kept = differences.drop_columns(["example", "known_from", "other_event"])
    return kept.append_column("cause", pa.array(causes, pa.string())).append_column(
        "then", pa.array(values, pa.string())
    )


def _plain_cause(row: Mapping[str, Any], other_texts: Collection[int]) -> str | None:
    """A cause that is seen without computing anything; None if there is none."""
    if row["model_version"] in other_texts:
        return OTHER_DEFINITION
    return OTHER_EVENT if row["other_event"] else None


def _newest(rows: Sequence[Mapping[str, Any]]) -> list[Answered]:
    """Of those that a table has thousands of, the newest."""
    answered = dict.fromkeys(_answered(row) for row in rows)
    return sorted(answered, key=lambda each: each.at, reverse=True)[:MOST_LOOKED_AT]


def _answered(row: Mapping[str, Any]) -> Answered:
    return Answered(row["example"], row["known_from"])


def _cause(row: Mapping[str, Any], then: Mapping[Answered, Then]) -> str:
    found = then.get(_answered(row))
    if found is None:
        return NOT_LOOKED_AT
    return LATE if found.changed(row["column"]) else SKEW


def _served_from(row: Mapping[str, Any], before: Mapping[Answered, Then]) -> bool:
    """Whether what was served is the value of a minute before: the service had not read the commit between yet."""
    found = before.get(_answered(row))
    if found is None or not found.changed(row["column"]):
        return False
    value, served = found.then.get(row["column"]), row["served"]
    if value is None or served is None:
        return value is None and served is None
    try:
        return math.isclose(float(value), float(served), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except (TypeError, ValueError):
        return str(value).lower() == str(served).lower()


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
