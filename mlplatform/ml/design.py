"""The design matrix: the declared columns as numbers without text, as plain numbers and as nodes of an ONNX graph."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import INPUT, OnnxGraph

__all__ = ["Design", "plain", "typical_row"]


@dataclass(frozen=True)
class Design:
    """The numeric columns, missing values filled, then one 0/1 column for each code of each categorical column.

    A missing or unseen category is 0 in all of its columns.
    """

    numeric: tuple[int, ...]
    fill: tuple[float, ...]
    """Value for a missing number, one per numeric column; NaN keeps it missing."""
    categories: tuple[tuple[int, int], ...]
    """(column, number of codes) of each categorical column."""

    @classmethod
    def learn(
        cls, rows: Floats, categories: Mapping[int, int], fill: bool = True, without: Collection[int] = ()
    ) -> Self:
        """Fill with the medians of `rows` float64[n, f]; a column without any value becomes 0.

        `categories`: number of codes by column. `fill=False` keeps missing numbers missing. `without`: columns that
        have no part in the design.
        """
        numeric = tuple(column for column in range(rows.shape[1]) if column not in categories and column not in without)
        values = _medians(rows[:, numeric]) if fill else np.full(len(numeric), np.nan)
        return cls(numeric, plain(values), tuple(sorted(categories.items())))

    @property
    def features(self) -> int:
        """Number of columns of the rows, f."""
        return len(self.numeric) + len(self.categories)

    def design(self, rows: Floats) -> Floats:
        """float64[n, d] of rows float64[n, f]."""
        numbers = rows[:, self.numeric]
        parts = [np.where(np.isnan(numbers), self.fill, numbers), self.one_hot(rows)]
        return np.concatenate(parts, axis=1)

    def one_hot(self, rows: Floats) -> Floats:
        """The categorical part, float64[n, all codes]."""
        parts = [(rows[:, [column]] == np.arange(codes)).astype(np.float64) for column, codes in self.categories]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(rows), 0))

    def owners(self) -> npt.NDArray[np.intp]:
        """The feature each design column belongs to, [d]."""
        codes = [np.full(codes, column, dtype=np.intp) for column, codes in self.categories]
        return np.concatenate([np.asarray(self.numeric, dtype=np.intp), *codes])

    def add_numbers(self, graph: OnnxGraph) -> tuple[str, str]:
        """Nodes for the numeric part; names of (filled numbers, which of them were missing)."""
        graph.constant("numeric", np.asarray(self.numeric, dtype=np.int64))
        graph.constant("fill", np.reshape(self.fill, (1, -1)))
        graph.add("Gather", [INPUT, "numeric"], "numbers", axis=1)
        graph.add("IsNaN", ["numbers"], "missing")
        return graph.add("Where", ["missing", "fill", "numbers"], "filled"), "missing"

    def add_one_hot(self, graph: OnnxGraph) -> list[str]:
        """Nodes for the categorical part, one name per column."""
        parts = []
        for column, codes in self.categories:
            graph.constant(f"column_{column}", np.asarray([column], dtype=np.int64))
            graph.constant(f"codes_{column}", np.arange(codes, dtype=np.float64).reshape(1, -1))
            graph.add("Gather", [INPUT, f"column_{column}"], f"code_{column}", axis=1)
            graph.add("Equal", [f"code_{column}", f"codes_{column}"], f"is_{column}")
            parts.append(graph.to_double(f"is_{column}", f"one_hot_{column}"))
        return parts

    def add_design(self, graph: OnnxGraph) -> str:
        """Nodes for `design`."""
        filled, _ = self.add_numbers(graph)
        return graph.add("Concat", [filled, *self.add_one_hot(graph)], "design", axis=1)


def typical_row(rows: Floats, categories: Mapping[int, int]) -> tuple[float, ...]:
    """Per column of rows float64[n, f]: the median, or the most frequent code; NaN where most values are missing."""
    row = np.full(rows.shape[1], np.nan)
    for column, values in enumerate(rows.T):
        known = values[~np.isnan(values)]
        if len(known) * 2 < len(values) or len(known) == 0:
            continue
        row[column] = np.bincount(known.astype(np.intp)).argmax() if column in categories else np.median(known)
    return plain(row)


def plain(values: Floats) -> tuple[float, ...]:
    """As Python's own numbers, for JSON."""
    return tuple(float(value) for value in values)


def _medians(numbers: Floats) -> Floats:
    empty = np.isnan(numbers).all(axis=0)
    fill = np.zeros(numbers.shape[1])  # a column without any value is constant, so it gets no weight
    fill[~empty] = np.nanmedian(numbers[:, ~empty], axis=0)
    return fill
