"""A fitted neural network on tables as plain numbers, and the same as an ONNX graph in float64.

torch and keras compute in float32 while they learn. What is stored are their weights, in a graph that both share, and
the scorer is that graph from the first score on: what is judged is what is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mlplatform.ml.design import Design, plain
from mlplatform.ml.factors import Embedded, Table, add_products
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import OUTPUT, OnnxGraph

__all__ = ["CLIP", "Inputs", "Layers", "forward", "network_to_onnx"]

Layers = Sequence[tuple[Floats, Floats]]
"""(weights [in, out], bias [out]) of each layer; the last one has one output."""

CLIP = 3.0
"""Scaled numbers x become x / sqrt(1 + (x / 3)^2), which stays within -3 and 3: one huge amount would else rule the
network. Robust scaling and smooth clipping are those of RealMLP (Holzmueller et al., 2024, "Better by default")."""


@dataclass(frozen=True)
class Inputs(Design):
    """Scaled and clipped numbers, then 0/1 columns: which numbers are missing, and the codes of categories.

    A category's columns times the first layer's weights are an embedding as wide as that layer.
    """

    scale: tuple[float, ...] = ()
    """1 over the distance of the quartiles, one per numeric column; numbers are measured from their median, `fill`."""
    watched: tuple[int, ...] = ()
    """Positions in `numeric` whose absence gets a column: those that lacked a value in training."""

    @classmethod
    def of(cls, rows: Floats, categories: Mapping[int, int], embedded: Sequence[int] = ()) -> Self:
        """Learn medians, scales and what can be missing from rows float64[n, f]; columns `embedded` are left out."""
        kept = {column: codes for column, codes in categories.items() if column not in embedded}
        learned = Design.learn(rows, kept, without=embedded)
        numbers = rows[:, learned.numeric]
        absent = np.isnan(numbers)
        return cls(
            learned.numeric,
            learned.fill,
            learned.categories,
            _scale(np.where(absent, learned.fill, numbers)),
            tuple(np.flatnonzero(absent.any(axis=0) & ~absent.all(axis=0)).tolist()),
        )

    def design(self, rows: Floats) -> Floats:
        """float64[n, d] of rows float64[n, f]."""
        numbers = rows[:, self.numeric]
        absent = np.isnan(numbers)
        scaled = (np.where(absent, self.fill, numbers) - np.asarray(self.fill)) * np.asarray(self.scale)
        clipped = scaled / np.sqrt(1 + (scaled / CLIP) ** 2)
        return np.concatenate([clipped, absent[:, self.watched].astype(np.float64), self.one_hot(rows)], axis=1)

    def add_design(self, graph: OnnxGraph) -> str:
        """Nodes for `design`."""
        filled, missing = self.add_numbers(graph)
        graph.add("Sub", [filled, "fill"], "centred")
        graph.add("Mul", ["centred", graph.constant("scale", np.reshape(self.scale, (1, -1)))], "scaled")
        graph.add("Div", ["scaled", graph.constant("clip", CLIP)], "relative")
        graph.add("Mul", ["relative", "relative"], "squared")
        graph.add("Add", ["squared", graph.constant("one", 1.0)], "above_one")
        graph.add("Sqrt", ["above_one"], "brake")
        parts = [graph.add("Div", ["scaled", "brake"], "clipped")]
        if self.watched:
            graph.constant("watched", np.asarray(self.watched, dtype=np.int64))
            graph.add("Gather", [missing, "watched"], "absent", axis=1)
            parts.append(graph.to_double("absent", "indicators"))
        return graph.add("Concat", [*parts, *self.add_one_hot(graph)], "design", axis=1)


def forward(layers: Layers, inputs: Floats) -> Floats:
    """What the graph computes from a design float64[n, d]: log-odds [n]. The tests hold the two equal."""
    *hidden, (weights, bias) = layers
    for inner, shift in hidden:
        inputs = np.maximum(inputs @ inner + shift, 0.0)
    result: Floats = (inputs @ weights + bias)[:, 0]
    return result


def network_to_onnx(inputs: Inputs, layers: Layers, embedded: Embedded, tables: Sequence[Table]) -> bytes:
    """`rows` float64[n, f] -> log-odds float64[n]."""
    graph = OnnxGraph()
    name = inputs.add_design(graph)
    for number, (weights, bias) in enumerate(layers):
        graph.add("MatMul", [name, graph.constant(f"weights_{number}", weights)], f"product_{number}")
        name = graph.add("Add", [f"product_{number}", graph.constant(f"bias_{number}", bias)], f"layer_{number}")
        if number < len(layers) - 1:
            name = graph.add("Relu", [name], f"active_{number}")
    squeezed = OUTPUT if not tables else "of_network"
    graph.add("Squeeze", [name, graph.constant("axis", np.array([1], dtype=np.int64))], squeezed)
    if tables:
        graph.add("Add", [squeezed, add_products(graph, embedded, tables)], OUTPUT)
    return graph.build("network", inputs.features + len(tables))


def _scale(numbers: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """RealMLP's: 1 over the distance of the quartiles; 2 over the range where they are equal; 0 for a constant."""
    low, high = np.quantile(numbers, [0.25, 0.75], axis=0)
    spread = np.ptp(numbers, axis=0)
    wide = np.where(high > low, high - low, spread / 2)
    return plain(np.divide(1.0, wide, out=np.zeros_like(wide), where=wide > 0))
