"""From a frame of features to the float64 matrix every model reads. Missing is NaN; categories are codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from mlplatform.errors import TrainingError
from mlplatform.ml.metrics import Floats

if TYPE_CHECKING:
    # At run time only where frames are read: the service reads JSON.
    import pandas as pd

__all__ = ["Encoding"]


@dataclass(frozen=True)
class Encoding:
    """Which columns, in which order, and the code of each category (its position in `categories`)."""

    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def learn(cls, frame: pd.DataFrame, features: Sequence[str], categorical: Sequence[str]) -> Self:
        """Take the categories of the rows a model learns from, in sorted order."""
        missing = [name for name in features if name not in frame.columns]
        if missing:
            raise TrainingError(f"the training rows lack the declared features {missing}; have {list(frame.columns)}")
        unknown = [name for name in categorical if name not in features]
        if unknown:
            raise TrainingError(f"categorical names columns that are no features: {unknown}")
        return cls(tuple(features), {name: _categories(frame[name]) for name in categorical})

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """float64[n, f] in C order; a category never seen in training is NaN."""
        columns = [self._column(name, frame[name]) for name in self.features]
        return np.ascontiguousarray(np.column_stack(columns))

    def code_counts(self) -> dict[int, int]:
        """Number of codes of each categorical column, by its position in `features`."""
        return {self.features.index(name): len(values) for name, values in self.categories.items()}

    def _column(self, name: str, values: pd.Series) -> Floats:
        if name not in self.categories:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        import pandas as pd

        codes = pd.Index(self.categories[name]).get_indexer(pd.Index(values.map(_as_text)))
        # A missing value is none of the categories, also where an empty text is one.
        return np.where((codes < 0) | values.isna().to_numpy(), np.nan, codes)


def _categories(values: pd.Series) -> tuple[str, ...]:
    return tuple(sorted({_as_text(value) for value in values.dropna().unique()}))


def _as_text(value: object) -> str:
    import pandas as pd

    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    # pandas writes whole numbers as floats where a column has gaps.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
