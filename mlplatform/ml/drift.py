"""Has a column's distribution changed? One fixed test per column, corrected, and a size that must matter."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from mlplatform.ml.cores import available_cores
from mlplatform.ml.design_effect import Ints
from mlplatform.ml.two_samples import Difference, Floats, compare_categories, compare_numbers
from mlplatform.spec.drift import Drift

__all__ = ["ColumnDrift", "DriftResult", "adjust", "find_drift", "sample_rows"]


@dataclass(frozen=True)
class ColumnDrift:
    """One column: `drifted` when the corrected p-value is below alpha and the effect reaches the least effect."""

    column: str
    test: Literal["ks", "chisquare"]
    effect: float
    """Kolmogorov-Smirnov distance or total variation, 0..1; missing values count as a value of their own."""
    p_value: float
    adjusted_p_value: float
    drifted: bool
    importance: float
    """Share of the model's importance, 0..1."""
    missing_reference: float
    missing_current: float
    effective_rows: float = 0.0
    """How many independent rows the window is worth for this column; no more than it has."""
    mean_reference: float = np.nan
    """Of the known values of a number."""
    mean_current: float = np.nan


@dataclass(frozen=True)
class DriftResult:
    """One window against the reference."""

    columns: tuple[ColumnDrift, ...]
    reference_rows: int
    current_rows: int
    enough_rows: bool
    """False: a sample was below min_rows, nothing is called drift."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the drifted columns, most important first."""
        found = [column for column in self.columns if column.drifted]
        return tuple(c.column for c in sorted(found, key=lambda c: -c.importance))

    @property
    def importance_share(self) -> float:
        """Share of the model's importance that lies in drifted columns, 0..1."""
        return float(sum(column.importance for column in self.columns if column.drifted))


def find_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    drift: Drift,
    *,
    columns: Sequence[str],
    categorical: Sequence[str] = (),
    importance: Mapping[str, float] | None = None,
    blocks: tuple[Ints | None, Ints | None] = (None, None),
) -> DriftResult:
    """Test each column on all rows of both samples.

    With many rows every difference is significant, so `min_effect` decides; with few rows chance makes large effects,
    so the corrected p-value decides. `blocks`, int64[reference rows] and int64[current rows], name rows that belong
    together, such as those of a day: where days differ, rows count for less (see `design_effect`).

    A number that takes few values is still tested by KS; its p-value is then conservative. Missing values are
    compared too: as their own category, or through the largest of the KS distance and the change of their share.
    """
    enough = min(len(reference), len(current)) >= drift.min_rows
    compare = partial(_compare, reference, current, frozenset(categorical), blocks)
    with ThreadPoolExecutor(available_cores()) as pool:
        found = list(pool.map(compare, columns))
    adjusted = adjust(np.asarray([each.p_value for each in found]), drift.correction)
    shares = _shares(columns, importance)
    return DriftResult(
        columns=tuple(
            ColumnDrift(
                column=name,
                test=each.test,
                effect=each.effect,
                p_value=each.p_value,
                adjusted_p_value=float(corrected),
                drifted=bool(enough and corrected < drift.alpha and each.effect >= drift.min_effect),
                importance=shares[name],
                missing_reference=_missing(reference[name]),
                missing_current=_missing(current[name]),
                effective_rows=each.effective[1],
                mean_reference=each.means[0],
                mean_current=each.means[1],
            )
            for name, each, corrected in zip(columns, found, adjusted, strict=True)
        ),
        reference_rows=len(reference),
        current_rows=len(current),
        enough_rows=enough,
    )


def sample_rows(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """At most `rows` rows, drawn without replacement, in their order."""
    if len(frame) <= rows:
        return frame
    chosen = np.random.default_rng(seed).choice(len(frame), rows, replace=False)
    return frame.iloc[np.sort(chosen)]


def adjust(p_values: Floats, correction: Literal["holm", "benjamini_hochberg"]) -> Floats:
    """p-values corrected for their number, [n]: Holm (1979) bounds the chance of any false alarm, Benjamini and
    Hochberg (1995) the share of false ones among the alarms."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    ranks = np.arange(1, count + 1)
    if correction == "holm":
        ordered = np.maximum.accumulate(p_values[order] * (count - ranks + 1))
    else:
        ordered = np.minimum.accumulate((p_values[order] * count / ranks)[::-1])[::-1]
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(ordered, 1.0)
    return adjusted


def _compare(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    categorical: frozenset[str],
    blocks: tuple[Ints | None, Ints | None],
    name: str,
) -> Difference:
    old, new = reference[name], current[name]
    if name in categorical:
        return compare_categories(old, new, blocks)
    a, b = (each.to_numpy(dtype=np.float64, na_value=np.nan) for each in (old, new))
    return compare_numbers(a, b, blocks)


def _shares(columns: Sequence[str], importance: Mapping[str, float] | None) -> dict[str, float]:
    weights = {name: 1.0 if importance is None else max(0.0, importance.get(name, 0.0)) for name in columns}
    total = sum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def _missing(column: pd.Series) -> float:
    return float(column.isna().mean()) if len(column) else 0.0
