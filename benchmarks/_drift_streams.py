"""Windows of 20 columns for benchmarks/drift.py: without drift, with days that differ, and with a drift of known size.

Every column is a function of a standard normal value, so that a drift of any kind can be given a size in the unit that
verdicts are made in: the distance of the two distributions (Kolmogorov-Smirnov, or total variation), 0..1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm, poisson

NORMAL = [f"normal_{i}" for i in range(9)]
SKEWED = [f"amount_{i}" for i in range(4)]
COUNTS = [f"count_{i}" for i in range(2)]
GAPS = ["gaps_0", "gaps_1"]
CATEGORIES = {"kind_3": 3, "kind_8": 8, "kind_40": 40}
COLUMNS = [*NORMAL, *SKEWED, *COUNTS, *GAPS, *CATEGORIES]
WINDOW_DAYS, REFERENCE_DAYS = 7, 28
GAP_SHARE = 0.2

Latent = dict[str, np.ndarray]


@dataclass(frozen=True)
class World:
    """`alike`: correlation of a column's values within a day; `lasting`: of a day with the day before."""

    alike: float = 0.0
    lasting: float = 0.0

    def rows(self, random: np.random.Generator, rows: int, days: int, drift: "Drifted | None" = None) -> pd.DataFrame:
        """A frame of the 20 columns, `event_time` and nothing else, spread over the days."""
        day = np.sort(random.integers(0, days, rows))
        latent = {name: self._latent(random, day, days) for name in COLUMNS}
        return _frame(latent, day, random) if drift is None else drift.after(_frame(drift.before(latent), day, random))

    def _latent(self, random: np.random.Generator, day: np.ndarray, days: int) -> np.ndarray:
        level = random.normal(size=days)
        for each in range(1, days):
            level[each] = self.lasting * level[each - 1] + np.sqrt(1 - self.lasting**2) * level[each]
        noise: np.ndarray = np.sqrt(self.alike) * level[day] + np.sqrt(1 - self.alike) * random.normal(size=len(day))
        return noise


@dataclass(frozen=True)
class Drifted:
    """What happens to one column, by `distance` from how it was."""

    kind: str
    distance: float

    @property
    def column(self) -> str:
        """The one that drifts."""
        return "kind_8" if self.kind == "category swap" else NORMAL[0]

    def before(self, latent: Latent) -> Latent:
        """The normal values moved."""
        values = latent[self.column]
        if self.kind in ("shift", "gradual"):
            return latent | {self.column: values + 2 * norm.ppf((1 + self.distance) / 2)}
        if self.kind == "scale":
            return latent | {self.column: values * _scale(self.distance)}
        return latent

    def after(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Values gone, or of another name: every n-th row, so that the share is exact."""
        chosen = np.arange(len(frame)) * 0.618033988749895 % 1
        if self.kind == "missing":
            return frame.assign(**{self.column: frame[self.column].mask(chosen < self.distance)})
        if self.kind == "category swap":
            often = frame[self.column] == "v0"
            return frame.assign(
                **{self.column: frame[self.column].mask(often & (chosen < self.distance / FIRST), "v7")}
            )
        return frame


FIRST = 0.4
"""Share of the most frequent of the 8 values; a swap takes from it."""


def stream(
    world: World, random: np.random.Generator, rows: int, kind: str, distance: float, windows: int
) -> Iterator[pd.DataFrame]:
    """Windows from the one on in which the drift begins; `gradual` reaches its distance in the eighth."""
    for number in range(1, windows + 1):
        part = min(1.0, number / 8) if kind == "gradual" else 1.0
        yield world.rows(random, rows, WINDOW_DAYS, Drifted(kind, part * distance))


def _scale(distance: float) -> float:
    """Of a normal value, so that its distribution has that distance from the standard one."""
    points = np.linspace(0, 6, 2000)
    apart: Callable[[float], float] = lambda s: float(np.max(norm.cdf(points) - norm.cdf(points / s))) - distance  # noqa: E731
    return float(brentq(apart, 1.0, 50.0))


def _frame(latent: Latent, day: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    columns: dict[str, np.ndarray] = {name: latent[name] for name in NORMAL}
    columns |= {name: np.exp(latent[name]) for name in SKEWED}
    columns |= {name: poisson.ppf(norm.cdf(latent[name]), 3.0) for name in COUNTS}
    columns |= {name: np.where(random.random(len(day)) < GAP_SHARE, np.nan, latent[name]) for name in GAPS}
    for name, count in CATEGORIES.items():
        shares = np.concatenate([[FIRST], np.full(count - 1, (1 - FIRST) / (count - 1))])
        values = np.array([f"v{i}" for i in range(count)], dtype=object)
        columns[name] = values[np.searchsorted(np.cumsum(shares)[:-1], norm.cdf(latent[name]))]
    return pd.DataFrame(columns).assign(event_time=pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"))
