"""Why a window is scored otherwise than the reference: by column, by slice, and since when.

By column: contributions of a row add up to its score less a constant, so the changes of the columns' mean contributions
add up to the shift of the mean score. By slice: the shift is split into groups that are larger or smaller than they
were and groups that are scored otherwise (Kitagawa, 1955, "Components of a difference between two rates").
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlplatform.ml.metrics import Floats
from mlplatform.ml.model_drift import Explained

__all__ = ["ColumnCause", "RootCause", "SliceCause", "drifting_since", "find_causes"]

MOST_GROUPS = 20
"""Of a slice, by rows; the others count together as `OTHER`."""
OTHER = "other"
MISSING = "missing"


@dataclass(frozen=True)
class ColumnCause:
    """How the mean contribution of one column changed."""

    column: str
    mean_reference: float
    mean_current: float
    change: float
    standard_error: float
    """Of the change, of independent rows: a change of less than two may be chance."""
    share: float
    """Of all movement: its absolute change over the sum of those of all columns, 0..1."""


@dataclass(frozen=True)
class SliceCause:
    """One group of a slice, such as the rows of a night: `mix` + `within` is its part of the shift."""

    slice: str
    group: str
    rows_reference: float
    """Share of the rows, 0..1."""
    rows_current: float
    mean_reference: float
    """Mean score of the group; NaN if it has no rows."""
    mean_current: float
    mix: float
    """What its other size adds, against the mean of all rows."""
    within: float
    """What its other scores add."""

    @property
    def change(self) -> float:
        """Its part of the shift."""
        return self.mix + self.within


@dataclass(frozen=True)
class RootCause:
    """The shift of the mean score in `unit`, and what it is made of."""

    shift: float
    unit: str
    columns: tuple[ColumnCause, ...]
    """Largest change first."""
    slices: tuple[SliceCause, ...]
    """Largest part first, of each slice; the parts of one slice add up to the shift."""

    @property
    def unexplained(self) -> float:
        """What the columns leave of the shift: nothing, but where contributions do not add up to the score (members of
        an ensemble whose calibration is isotonic)."""
        return self.shift - sum(each.change for each in self.columns)


def find_causes(reference: Explained, current: Explained, slices: Sequence[str] = ()) -> RootCause:
    """Take the shift of the mean score apart; slices that either sample lacks are left out.

    The numbers are of the explained rows, a sample of the window.
    """
    shared = [name for name in slices if name in reference.frame.columns and name in current.frame.columns]
    return RootCause(
        shift=float(current.scores.mean() - reference.scores.mean()),
        unit=current.unit,
        columns=_columns(reference.contributions, current.contributions),
        slices=tuple(cause for name in shared for cause in _slice(name, reference, current)),
    )


def drifting_since(drifted: Collection[pd.Timestamp], end: pd.Timestamp, step: pd.Timedelta) -> pd.Timestamp | None:
    """Start of the first of the consecutive drifted windows up to the one that ends at `end`; None if that is not in
    drift. `drifted`: ends of windows in drift; those that overlap the ones looked at are passed over."""
    if end not in drifted:
        return None
    while end - step in drifted:
        end -= step
    return end - step


def _columns(old: pd.DataFrame, new: pd.DataFrame) -> tuple[ColumnCause, ...]:
    before, after = old.mean(), new.mean()
    error = np.sqrt(old.var(ddof=0) / len(old) + new.var(ddof=0) / len(new))
    movement = float((after - before).abs().sum())
    causes = [
        ColumnCause(
            column=str(name),
            mean_reference=float(before[name]),
            mean_current=float(after[name]),
            change=float(after[name] - before[name]),
            standard_error=float(error[name]),
            share=abs(float(after[name] - before[name])) / movement if movement else 0.0,
        )
        for name in old.columns
    ]
    return tuple(sorted(causes, key=lambda cause: -abs(cause.change)))


def _slice(name: str, reference: Explained, current: Explained) -> list[SliceCause]:
    old, new = (_groups(each.frame[name]) for each in (reference, current))
    kept = pd.concat([old, new]).value_counts().index[:MOST_GROUPS]
    old, new = (each.where(each.isin(kept), OTHER) for each in (old, new))
    overall = (float(reference.scores.mean()) + float(current.scores.mean())) / 2
    before, after = _by_group(old, reference.scores), _by_group(new, current.scores)
    causes = [_part(name, group, before, after, overall) for group in sorted({*before, *after})]
    return sorted(causes, key=lambda cause: -abs(cause.change))


def _part(
    name: str,
    group: str,
    before: Mapping[str, tuple[float, float]],
    after: Mapping[str, tuple[float, float]],
    overall: float,
) -> SliceCause:
    """A group that one of the samples lacks has changed in size only."""
    nothing = (0.0, np.nan)
    (share, mean), (new_share, new_mean) = before.get(group, nothing), after.get(group, nothing)
    known = [each for each in (mean, new_mean) if not np.isnan(each)]
    both = len(known) == 2
    return SliceCause(
        slice=name,
        group=group,
        rows_reference=share,
        rows_current=new_share,
        mean_reference=mean,
        mean_current=new_mean,
        mix=(new_share - share) * (sum(known) / len(known) - overall),
        within=(share + new_share) / 2 * (new_mean - mean) if both else 0.0,
    )


def _by_group(groups: pd.Series, scores: Floats) -> dict[str, tuple[float, float]]:
    """Share of the rows and mean score of each group."""
    found = pd.Series(scores).groupby(groups.to_numpy()).agg(["size", "mean"])
    return {str(group): (float(row["size"]) / len(scores), float(row["mean"])) for group, row in found.iterrows()}


def _groups(values: pd.Series) -> pd.Series:
    return values.astype("str").where(values.notna(), MISSING).reset_index(drop=True)
