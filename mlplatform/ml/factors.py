"""Vectors learned for the categories of a few columns, and the products of each pair of them, beside a network.

A factorisation machine (Rendle, 2010): score = network(all other features) + a bias for each category + the dot
product of the vectors of each pair of columns, such as the person's and the movie's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
import numpy.typing as npt

from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import INPUT, OnnxGraph

__all__ = ["Embedded", "Table", "add_products", "products"]

Ints = npt.NDArray[np.int64]
Table = tuple[Floats, Floats]
"""Vectors [codes + 1, width] and biases [codes + 1]; the last row, of zeros, stands for what is missing or new."""


@dataclass(frozen=True)
class Embedded:
    """The columns whose categories get vectors."""

    columns: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    """Number of codes of each."""

    @classmethod
    def of(cls, features: Sequence[str], categories: dict[int, int], names: Sequence[str]) -> Self:
        """By the names that a candidate declares; `categories`: number of codes by column."""
        columns = tuple(features.index(name) for name in names)
        return cls(columns, tuple(categories[column] for column in columns))

    def codes(self, rows: Floats) -> Ints:
        """int64[n, columns] of rows float64[n, f]; a missing code is the number of codes."""
        chosen = rows[:, self.columns]
        return np.where(np.isnan(chosen), self.counts, chosen).astype(np.int64)


def products(tables: Sequence[Table], codes: Ints) -> Floats:
    """Biases and dot products of each row, [n]."""
    vectors = [table[codes[:, at]] for at, (table, _) in enumerate(tables)]
    total = sum((bias[codes[:, at]] for at, (_, bias) in enumerate(tables)), np.zeros(len(codes)))
    for left, right in combinations(vectors, 2):
        total = total + (left * right).sum(axis=1)
    return np.asarray(total)


def add_products(graph: OnnxGraph, embedded: Embedded, tables: Sequence[Table]) -> str:
    """Nodes for `products`; the tests hold the two equal."""
    from onnx import TensorProto

    vectors, parts = [], []
    graph.constant("one_axis", np.array([1], dtype=np.int64))
    for at, (column, count, (table, bias)) in enumerate(zip(embedded.columns, embedded.counts, tables, strict=True)):
        graph.constant(f"embedded_{at}", np.asarray([column], dtype=np.int64))
        graph.add("Gather", [INPUT, f"embedded_{at}"], f"given_{at}", axis=1)
        graph.add("IsNaN", [f"given_{at}"], f"is_new_{at}")
        graph.add("Where", [f"is_new_{at}", graph.constant(f"new_{at}", float(count)), f"given_{at}"], f"numbered_{at}")
        graph.add("Cast", [f"numbered_{at}"], f"whole_{at}", to=TensorProto.INT64)
        graph.add("Squeeze", [f"whole_{at}", "one_axis"], f"code_of_{at}")
        vectors.append(graph.add("Gather", [graph.constant(f"table_{at}", table), f"code_of_{at}"], f"vector_{at}"))
        parts.append(graph.add("Gather", [graph.constant(f"biases_{at}", bias), f"code_of_{at}"], f"bias_of_{at}"))
    for number, (left, right) in enumerate(combinations(vectors, 2)):
        graph.add("Mul", [left, right], f"pair_{number}")
        parts.append(graph.add("ReduceSum", [f"pair_{number}", "one_axis"], f"dot_{number}", keepdims=0))
    return graph.add("Sum", parts, "products")
