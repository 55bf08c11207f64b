"""What cleaning policies need to know of the rows, learned from training rows alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mlplatform.ml.cleaning import CleanedCategory, CleanedNumber, Cleaning, known_codes
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats
from mlplatform.spec.cleaning import CategoricalCleaning, CleaningPolicy, NumericCleaning, TargetEncoding

__all__ = ["learn_cleaning"]

PARTS = 5
"""A training row's mean label comes from the other four: means of 80 % of the rows differ little from those of all."""


def learn_cleaning(
    policies: Mapping[str, CleaningPolicy], encoding: Encoding, train: Examples, seed: int
) -> tuple[Cleaning, Examples]:
    """The policies fitted to `train`, and `train` cleaned by them.

    Weights count. The cleaned rows differ from what `Cleaning` makes of the same rows in the columns of mean labels:
    there a training row sees those of other rows only. `seed` deals the rows, or their groups, into parts.
    """
    parts = _parts(train, seed)
    learned: dict[str, CleanedNumber | CleanedCategory] = {}
    own: dict[int, Floats] = {}
    for name, policy in policies.items():
        column = encoding.features.index(name)
        values = train.rows[:, column]
        if isinstance(policy, NumericCleaning):
            learned[name] = _number(policy, values, train.weights)
        elif isinstance(policy, CategoricalCleaning):
            learned[name] = _category(policy, values, train.weights, len(encoding.categories[name]))
        else:
            means = _Means.of(values, train, parts, len(encoding.categories[name]))
            learned[name], own[column] = means.table(policy), means.of_other_parts(policy)
    cleaning = Cleaning(encoding.features, learned)
    rows = cleaning(train.rows)
    for column, values in own.items():
        rows[:, column] = values
    return cleaning, replace(train, rows=rows)


def _number(policy: NumericCleaning, values: Floats, weights: Floats | None) -> CleanedNumber:
    known = np.isfinite(values)
    if not known.any():
        # Nothing to learn: every training row gets the same, 0.
        return CleanedNumber(fill=None if policy.missing == "keep" else _filled(policy, 0.0, 0.0))
    values, counts = values[known], _counts(weights, len(values))[known]
    low, high = _quantiles(values, counts, *policy.cap) if policy.cap else (None, None)
    if policy.cap:
        values = np.clip(values, low, high)
    quarter, median, three_quarters = _quantiles(values, counts, 0.25, 0.5, 0.75)
    # The mean of equal numbers is not always that number, and what is left over would be divided by.
    constant = values.min() == values.max()
    mean = median if constant else float(np.average(values, weights=counts))
    fill = None if policy.missing == "keep" else _filled(policy, median, mean)
    if policy.scale == "standard":
        deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
        return CleanedNumber(low, high, fill, mean, deviation or 1.0)
    if policy.scale == "robust":
        return CleanedNumber(low, high, fill, median, three_quarters - quarter or 1.0)
    return CleanedNumber(low, high, fill)


def _filled(policy: NumericCleaning, median: float, mean: float) -> float:
    if isinstance(policy.missing, float):
        return policy.missing
    return median if policy.missing == "median" else mean


def _category(policy: CategoricalCleaning, values: Floats, weights: Floats | None, codes: int) -> CleanedCategory:
    counts = np.bincount(known_codes(values, codes), _counts(weights, len(values)), codes + 1)[:codes]
    kept = counts >= policy.rare_below
    number = np.cumsum(kept) - 1
    unknown = float(kept.sum()) if policy.missing == "category" else None
    new = tuple(float(at) if keep else unknown for at, keep in zip(number, kept, strict=True))
    return CleanedCategory(new, unknown, int(kept.sum()) + (unknown is not None))


@dataclass(frozen=True)
class _Means:
    """Sums of labels and of weights by part and code, float64[parts, codes + 1]; the last code is "none"."""

    sums: Floats
    counts: Floats
    parts: npt.NDArray[np.intp]
    codes: npt.NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats, train: Examples, parts: npt.NDArray[np.intp], codes: int) -> "_Means":
        number, weights = known_codes(values, codes), _counts(train.weights, len(train))
        cells, shape = parts * (codes + 1) + number, (PARTS, codes + 1)
        size = shape[0] * shape[1]
        sums, counts = (np.bincount(cells, each, size).astype(np.float64) for each in (weights * train.labels, weights))
        return cls(sums.reshape(shape), counts.reshape(shape), parts, number)

    def table(self, policy: TargetEncoding) -> CleanedCategory:
        """From all rows, for those that are yet to come."""
        means = _smoothed(self.sums.sum(axis=0), self.counts.sum(axis=0), policy.smoothing).tolist()
        return CleanedCategory(tuple(means[:-1]), means[-1], None)

    def of_other_parts(self, policy: TargetEncoding) -> Floats:
        """For the training rows, [n]: each from the rows of the other parts."""
        others = _smoothed(self.sums.sum(axis=0) - self.sums, self.counts.sum(axis=0) - self.counts, policy.smoothing)
        result: Floats = others[self.parts, self.codes]
        return result


def _smoothed(sums: Floats, counts: Floats, smoothing: float) -> Floats:
    """Means along the last axis, each with `smoothing` rows of the mean of all; 0 where there is no row at all."""
    rows = counts.sum(axis=-1, keepdims=True)
    mean = np.divide(sums.sum(axis=-1, keepdims=True), rows, out=np.zeros_like(rows), where=rows > 0)
    result: Floats = (sums + smoothing * mean) / (counts + smoothing)
    return result


def _parts(train: Examples, seed: int) -> npt.NDArray[np.intp]:
    """The part of each row, [n], the same for all rows of a group; as many of each as there can be."""
    groups = np.arange(len(train)) if train.groups is None else np.unique(train.groups, return_inverse=True)[1]
    dealt = np.random.default_rng(seed).permutation(int(groups.max(initial=-1)) + 1) % PARTS
    return dealt[groups]


def _quantiles(values: Floats, counts: Floats, *which: float) -> list[float]:
    """Values that occur: the smallest that has at least the share `which` of the rows at or below it."""
    found = np.quantile(values, which, weights=counts, method="inverted_cdf")
    return [float(value) for value in found]


def _counts(weights: Floats | None, rows: int) -> Floats:
    return np.ones(rows) if weights is None else weights
