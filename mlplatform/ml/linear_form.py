"""A fitted logistic regression as plain numbers, and the same as an ONNX graph in float64.

The graph is written here and not by skl2onnx: its Imputer exists in float32 only in ONNX Runtime, so its scores
would differ from scikit-learn's in the sixth digit; these agree to 1e-9 (tested).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mlplatform.ml.design import Design
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import OUTPUT, OnnxGraph

__all__ = ["LinearForm", "to_onnx"]


@dataclass(frozen=True)
class LinearForm(Design):
    """log-odds = intercept + design(rows) @ weights."""

    weights: tuple[float, ...] = ()
    intercept: float = 0.0
    background: tuple[float, ...] = ()
    """Mean of each design column over the training rows: what contributions are measured from."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Back from `dataclasses.asdict` and JSON; raises KeyError when a part is missing."""
        return cls(
            numeric=tuple(stored["numeric"]),
            fill=tuple(stored["fill"]),
            categories=tuple((column, codes) for column, codes in stored["categories"]),
            weights=tuple(stored["weights"]),
            intercept=stored["intercept"],
            background=tuple(stored["background"]),
        )

    def contributions(self, rows: Floats) -> Floats:
        """weight * (value - background), summed over each feature's columns: float64[n, f].

        These are the SHAP values of a linear model whose features are taken as independent
        (Lundberg and Lee, 2017, corollary 1).
        """
        parts = (self.design(rows) - np.asarray(self.background)) * np.asarray(self.weights)
        spread = np.zeros((len(self.weights), rows.shape[1]))
        spread[np.arange(len(self.weights)), self.owners()] = 1.0
        result: Floats = parts @ spread
        return result


def to_onnx(form: LinearForm) -> bytes:
    """A checked ONNX model: `rows` float64[n, f] -> `log_odds` float64[n]."""
    graph = OnnxGraph()
    design = form.add_design(graph)
    graph.add("MatMul", [design, graph.constant("weights", form.weights)], "sum")
    graph.add("Add", ["sum", graph.constant("intercept", form.intercept)], OUTPUT)
    return graph.build("logistic_regression", form.features)
