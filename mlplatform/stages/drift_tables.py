"""What `drift_report` leaves in the lake, and how later stages read it back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.tables import append_rows, merge_rows
from mlplatform.spec import Declaration, DriftSignal

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.decision import WindowEvidence
    from mlplatform.ml.drift import DriftResult
    from mlplatform.ml.root_cause import RootCause

__all__ = [
    "DATA",
    "EXPLANATION",
    "PREDICTION",
    "Kind",
    "causes_table",
    "drift_history",
    "drift_table",
    "drift_windows",
    "policy_windows",
    "store_causes",
    "store_drift",
    "watched",
    "window_ends",
]

Kind = Literal["data", "prediction", "explanation"]
DATA: Kind = "data"
PREDICTION: Kind = "prediction"
EXPLANATION: Kind = "explanation"

_WINDOW_KEY = ["model_version", "window_end", "kind", "column"]
_LATER_COLUMNS = {
    "kind": "VARCHAR DEFAULT 'data'",
    "effective_rows": "DOUBLE",
    "mean_reference": "DOUBLE",
    "mean_current": "DOUBLE",
}
"""Those that tables of earlier versions lack: they knew no drift but that of the data."""


def drift_table(uc: Declaration) -> str:
    """The lake table with one row per model version, window, kind of drift and column."""
    return f"{uc.spec.name}.drift_report"


def causes_table(uc: Declaration) -> str:
    """The lake table with what moved the mean score: one row per model version, window and column or group."""
    return f"{uc.spec.name}.drift_causes"


def window_ends(uc: Declaration, as_of: "pd.Timestamp") -> "list[pd.Timestamp]":
    """Ends of the windows that a decision at `as_of` looks at, newest first."""
    import pandas as pd

    step = pd.Timedelta(days=uc.spec.drift.window_days)
    return [as_of - i * step for i in range(watched(uc).windows)]


def watched(uc: Declaration) -> DriftSignal:
    """What counts as drift: the policy's, or the default where the policy does not go by drift."""
    return uc.spec.policy.on_drift or DriftSignal()


def store_drift(
    con: Any, uc: Declaration, version: int, measured: "Mapping[tuple[pd.Timestamp, Kind], DriftResult]"
) -> int:
    """Add or replace the rows of windows; a table from before there were kinds of drift gets their columns."""
    table = drift_table(uc)
    if table_exists(con, table):
        for name, kind in _LATER_COLUMNS.items():
            con.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind}")
    return merge_rows(con, table, _drift_rows(uc, version, measured), _WINDOW_KEY)


def store_causes(
    con: Any,
    uc: Declaration,
    version: int,
    end: "pd.Timestamp",
    causes: "RootCause",
    since: "Mapping[str, pd.Timestamp | None]",
) -> int:
    """Replace the causes of one window. `since`: for each drifted column, start of its first window in drift."""
    table = causes_table(uc)
    if table_exists(con, table):
        con.execute(f"DELETE FROM {table} WHERE model_version = ? AND window_end = ?", [version, end.to_pydatetime()])
    return append_rows(con, table, _cause_rows(uc, version, end, causes, since))


def policy_windows(uc: Declaration, lake: Lake, model_version: int, as_of: "pd.Timestamp") -> "list[WindowEvidence]":
    """The M windows that end at `as_of`, one behind the other, oldest first.

    Windows that were measured as of other days overlap these: the same rows would count twice.
    """
    ends = set(window_ends(uc, as_of))
    return [window for window in drift_windows(uc, lake, model_version) if window.end in ends]


def drift_windows(uc: Declaration, lake: Lake, model_version: int) -> "list[WindowEvidence]":
    """All measured windows of one model version, oldest first: the drift of the data, and beside it the answers'."""
    import pandas as pd

    from mlplatform.ml.decision import WindowEvidence

    data, predicted = f"kind = '{DATA}'", f"kind = '{PREDICTION}'"
    with lake.read() as con:
        found = con.execute(
            f"SELECT window_start, window_end, bool_and(enough_rows) FILTER ({data}), "
            f"coalesce(sum(importance) FILTER ({data} AND drifted), 0), "
            f'coalesce(list("column" ORDER BY importance DESC) FILTER ({data} AND drifted), []), '
            f"coalesce(bool_or(drifted) FILTER ({predicted}), false), max(effect) FILTER ({predicted}) "
            f"FROM ({_with_kind(con, uc)}) WHERE model_version = ? GROUP BY ALL ORDER BY window_end",
            [model_version],
        ).fetchall()
    return [
        WindowEvidence(pd.Timestamp(start), pd.Timestamp(end), enough, float(share), tuple(names), drifted, effect)
        for start, end, enough, share, names, drifted, effect in found
        if enough is not None
    ]


def drift_history(uc: Declaration, lake: Lake, model_version: int, kind: Kind) -> "pd.DataFrame":
    """The stored rows of one kind of drift, by window and column."""
    with lake.read() as con:
        return con.execute(
            f'FROM ({_with_kind(con, uc)}) WHERE model_version = ? AND kind = ? ORDER BY window_end, "column"',
            [model_version, kind],
        ).df()


def _with_kind(con: Any, uc: Declaration) -> str:
    """The table with a column `kind`, also where it is of an earlier version and nobody has widened it yet."""
    names = {row[0] for row in con.execute(f"DESCRIBE {drift_table(uc)}").fetchall()}
    return f"FROM {drift_table(uc)}" if "kind" in names else f"SELECT *, '{DATA}' AS kind FROM {drift_table(uc)}"


def _drift_rows(
    uc: Declaration, version: int, measured: "Mapping[tuple[pd.Timestamp, Kind], DriftResult]"
) -> "pd.DataFrame":
    import pandas as pd

    step = pd.Timedelta(days=uc.spec.drift.window_days)
    return pd.DataFrame(
        [
            {
                "model_version": version,
                "window_start": end - step,
                "window_end": end,
                "column": column.column,
                "test": column.test,
                "effect": column.effect,
                "p_value": column.p_value,
                "adjusted_p_value": column.adjusted_p_value,
                "drifted": column.drifted,
                "importance": column.importance,
                "missing_share": column.missing_current,
                "rows": result.current_rows,
                "enough_rows": result.enough_rows,
                "kind": kind,
                "effective_rows": column.effective_rows,
                "mean_reference": column.mean_reference,
                "mean_current": column.mean_current,
            }
            for (end, kind), result in measured.items()
            for column in result.columns
        ]
    )


def _cause_rows(
    uc: Declaration,
    version: int,
    end: "pd.Timestamp",
    causes: "RootCause",
    since: "Mapping[str, pd.Timestamp | None]",
) -> "pd.DataFrame":
    import pandas as pd

    window: dict[str, Any] = {
        "model_version": version,
        "window_start": end - pd.Timedelta(days=uc.spec.drift.window_days),
        "window_end": end,
        "unit": causes.unit,
        "shift": causes.shift,
    }
    columns: list[dict[str, Any]] = [
        {
            "cause": "column",
            "name": each.column,
            "change": each.change,
            "mean_reference": each.mean_reference,
            "mean_current": each.mean_current,
            "standard_error": each.standard_error,
            "share": each.share,
            "since": since.get(each.column),
        }
        for each in causes.columns
    ]
    groups: list[dict[str, Any]] = [
        {
            "cause": "slice",
            "name": each.slice,
            "slice_group": each.group,
            "change": each.change,
            "mean_reference": each.mean_reference,
            "mean_current": each.mean_current,
            "mix": each.mix,
            "within": each.within,
            "rows_reference": each.rows_reference,
            "rows_current": each.rows_current,
        }
        for each in causes.slices
    ]
    rows = pd.DataFrame([window | each for each in [*columns, *groups]])
    # Alike whatever was found: a table is made from the first window's rows.
    kinds = {"slice_group": "string", "since": "datetime64[us]"} | dict.fromkeys(
        ("mix", "within", "rows_reference", "rows_current", "standard_error", "share"), "float64"
    )
    return rows.reindex(columns=list(dict.fromkeys([*rows.columns, *kinds]))).astype(kinds)
