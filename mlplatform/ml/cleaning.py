"""Fitted cleaning policies: numbers capped, filled and scaled, categories replaced by codes or by mean labels.

They work on the matrix of an `Encoding`, whatever it was made of: a frame in training, JSON rows in the service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.metrics import Floats

__all__ = ["STORED", "UNKNOWN", "CleanedCategory", "CleanedNumber", "Cleaning", "known_codes"]

STORED = "cleaning"
"""Key of model.json; a model without policies has none."""
UNKNOWN = "(rare, new or missing)"
"""The name of the category that stands for all of these."""


@dataclass(frozen=True)
class CleanedNumber:
    """(value capped to [low, high], or `fill` where there is none, less `center`) / `scale`. None: not declared."""

    low: float | None = None
    high: float | None = None
    fill: float | None = None
    center: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class CleanedCategory:
    """What each code becomes: another code, or a mean label. None: missing."""

    values: tuple[float | None, ...]
    """By the code that the encoding gives."""
    unknown: float | None
    """Where there is no code: the value is missing, or was not there in training."""
    codes: int | None
    """How many codes there are now; None: mean labels, which are amounts."""

    @cached_property
    def lookup(self) -> Floats:
        """`values` and behind them `unknown`, float64[codes + 1]."""
        return _numbers([*self.values, self.unknown], np.nan)


@dataclass(frozen=True)
class Cleaning:
    """The policies of some columns, by name."""

    features: tuple[str, ...]
    """All columns of the matrix, in order."""
    columns: Mapping[str, CleanedNumber | CleanedCategory]

    def __call__(self, rows: Floats) -> Floats:
        """Cleaned copy of rows float64[n, f], NaN being missing."""
        # Ufuncs, not np.clip and np.where, which cost twice as much for one row. NaN passes all of them.
        cleaned: Floats = np.minimum(np.maximum(rows, self._low), self._high)
        np.copyto(cleaned, self._fill, where=np.isnan(cleaned))
        cleaned -= self._center
        cleaned /= self._scale
        for column, category in self._categories:
            cleaned[:, column] = category.lookup[known_codes(rows[:, column], len(category.values))]
        return cleaned

    def encoding(self, before: Encoding) -> Encoding:
        """What a cleaned matrix holds: fewer categories, and none where they became mean labels."""
        left = {name: self._left(name, values) for name, values in before.categories.items()}
        return Encoding(before.features, {name: values for name, values in left.items() if values is not None})

    def to_json(self) -> dict[str, Any]:
        """By column; what `from_json` reads."""
        return {name: asdict(column) for name, column in self.columns.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], features: Sequence[str]) -> Self:
        """Raises ArtifactError when the stored policies are of another kind, or of columns that are not there."""
        try:
            columns = {name: _column(content) for name, content in stored.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"cannot read the cleaning of a stored model: {error!r}; package it again") from error
        if unknown := sorted(set(columns) - set(features)):
            raise ArtifactError(f"a stored model cleans {', '.join(unknown)}, which it does not have; package it again")
        return cls(tuple(features), columns)

    def _left(self, name: str, values: tuple[str, ...]) -> tuple[str, ...] | None:
        cleaned = self.columns.get(name)
        if not isinstance(cleaned, CleanedCategory):
            return values
        if cleaned.codes is None:
            return None
        kept = [value for value, code in zip(values, cleaned.values, strict=True) if _is_own(code, cleaned)]
        return (*kept, UNKNOWN) if len(kept) < cleaned.codes else tuple(kept)

    @cached_property
    def _categories(self) -> tuple[tuple[int, CleanedCategory], ...]:
        found = ((at, self.columns.get(name)) for at, name in enumerate(self.features))
        return tuple((at, column) for at, column in found if isinstance(column, CleanedCategory))

    @cached_property
    def _low(self) -> Floats:
        return self._each("low", -np.inf)

    @cached_property
    def _high(self) -> Floats:
        return self._each("high", np.inf)

    @cached_property
    def _fill(self) -> Floats:
        return self._each("fill", np.nan)

    @cached_property
    def _center(self) -> Floats:
        return self._each("center", 0.0)

    @cached_property
    def _scale(self) -> Floats:
        return self._each("scale", 1.0)

    def _each(self, what: str, otherwise: float) -> Floats:
        return _numbers([getattr(self.columns.get(name), what, None) for name in self.features], otherwise)


def known_codes(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """The codes of a column [n] as integers; `count`, the number of codes, where there is none."""
    codes = values.copy()
    codes[np.isnan(codes)] = count
    return codes.astype(np.intp)


def _is_own(code: float | None, category: CleanedCategory) -> bool:
    """Whether a category is still one of its own."""
    return code is not None and code != category.unknown


def _numbers(values: Sequence[float | None], otherwise: float) -> Floats:
    return np.array([otherwise if value is None else value for value in values], dtype=np.float64)


def _column(content: Mapping[str, Any]) -> CleanedNumber | CleanedCategory:
    if "values" in content:
        return CleanedCategory(tuple(content["values"]), content["unknown"], content["codes"])
    return CleanedNumber(**content)
