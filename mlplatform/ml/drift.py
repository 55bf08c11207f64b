"""Has a column's distribution changed? One fixed test per column, corrected, and a size that must matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.spec.drift import Drift

__all__ = ["ColumnDrift", "DriftResult", "adjust", "find_drift", "sample_rows"]

Floats = npt.NDArray[np.float64]


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
    seed: int = 0,
) -> DriftResult:
    """Test each column of two samples of at most `drift.sample_rows` rows.

    A number that takes few values is still tested by KS; its p-value is then conservative. Missing values are
    compared too: as their own category, or through the largest of the KS distance and the change of their share.
    """
    old, new = (sample_rows(frame, drift.sample_rows, seed) for frame in (reference, current))
    enough = min(len(old), len(new)) >= drift.min_rows
    tests = [_test_column(old[name], new[name], name in categorical) for name in columns]
    adjusted = adjust(np.asarray([p for _, p in tests]), drift.correction)
    shares = _shares(columns, importance)
    return DriftResult(
        columns=tuple(
            ColumnDrift(
                column=name,
                test="chisquare" if name in categorical else "ks",
                effect=effect,
                p_value=p,
                adjusted_p_value=float(corrected),
                drifted=bool(enough and corrected < drift.alpha and effect >= drift.min_effect),
                importance=shares[name],
                missing_reference=_missing(old[name]),
                missing_current=_missing(new[name]),
            )
            for name, (effect, p), corrected in zip(columns, tests, adjusted, strict=True)
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


def _test_column(old: pd.Series, new: pd.Series, is_category: bool) -> tuple[float, float]:
    if not len(old) or not len(new):
        return 0.0, 1.0
    return _chi_square(old, new) if is_category else _kolmogorov_smirnov(old, new)


def _kolmogorov_smirnov(old: pd.Series, new: pd.Series) -> tuple[float, float]:
    """Effect and p-value; Bonferroni over the two questions (values, share of missing) where values are missing."""
    from scipy.stats import ks_2samp

    a, b = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (old, new))
    missing = np.isnan(a), np.isnan(b)
    a, b = a[~missing[0]], b[~missing[1]]
    effect, p = 0.0, 1.0
    if len(a) and len(b):
        found = ks_2samp(a, b, method="asymp")
        effect, p = float(found.statistic), float(found.pvalue)
    if not (missing[0].any() or missing[1].any()):
        return effect, p
    change, p_change = _chi_square(pd.Series(missing[0]), pd.Series(missing[1]))
    return max(effect, change), min(1.0, 2 * min(p, p_change))


def _chi_square(old: pd.Series, new: pd.Series) -> tuple[float, float]:
    """Total variation and p-value of the table value x sample; missing is a value. Rare values are pooled."""
    from scipy.stats import chi2_contingency

    counts = pd.concat([old.value_counts(dropna=False), new.value_counts(dropna=False)], axis=1).fillna(0).to_numpy()
    if len(counts) < 2:
        return 0.0, 1.0
    effect = float(np.abs(counts[:, 0] / len(old) - counts[:, 1] / len(new)).sum() / 2)
    table = _pool_rare(counts)
    return effect, float(chi2_contingency(table, correction=False).pvalue) if len(table) > 1 else 1.0


def _pool_rare(counts: Floats) -> Floats:
    """Rows whose expected count is below 5 in either sample become one (Cochran's rule for the chi-square)."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    rare = (expected < 5).any(axis=1)
    if not rare.any():
        return counts
    return np.vstack([counts[~rare], counts[rare].sum(axis=0)])


def _shares(columns: Sequence[str], importance: Mapping[str, float] | None) -> dict[str, float]:
    weights = {name: 1.0 if importance is None else max(0.0, importance.get(name, 0.0)) for name in columns}
    total = sum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def _missing(column: pd.Series) -> float:
    return float(column.isna().mean()) if len(column) else 0.0
