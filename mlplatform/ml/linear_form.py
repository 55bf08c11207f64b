"""A fitted logistic regression as plain numbers, and the same as an ONNX graph in float64.

The graph is written here and not by skl2onnx: its Imputer exists in float32 only in ONNX Runtime, so its scores
would differ from scikit-learn's in the sixth digit; these agree to 1e-9 (tested).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlplatform.ml.metrics import Floats

__all__ = ["LinearForm", "to_onnx"]

# Opset 17 and IR 8 are read by every ONNX Runtime from 1.12 (2022) on.
OPSET, IR = 17, 8


@dataclass(frozen=True)
class LinearForm:
    """log-odds = intercept + design(rows) @ weights.

    The design holds the numeric columns, missing values filled, then one 0/1 column for each code of each
    categorical column. A missing or unseen category is 0 in all of its columns.
    """

    numeric: tuple[int, ...]
    fill: tuple[float, ...]
    """Value for a missing number, one per numeric column."""
    categories: tuple[tuple[int, int], ...]
    """(column, number of codes) of each categorical column."""
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

    def design(self, rows: Floats) -> Floats:
        """float64[n, d] of rows float64[n, f]."""
        numbers = rows[:, self.numeric]
        parts = [np.where(np.isnan(numbers), self.fill, numbers)]
        parts += [(rows[:, [column]] == np.arange(codes)).astype(np.float64) for column, codes in self.categories]
        return np.concatenate(parts, axis=1)

    def owners(self) -> npt.NDArray[np.intp]:
        """The feature each design column belongs to, [d]."""
        codes = [np.full(codes, column, dtype=np.intp) for column, codes in self.categories]
        return np.concatenate([np.asarray(self.numeric, dtype=np.intp), *codes])

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
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants = _nodes(form, helper, TensorProto.DOUBLE)
    width = len(form.numeric) + len(form.categories)
    graph = helper.make_graph(
        nodes,
        "logistic_regression",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["n", width])],
        [helper.make_tensor_value_info("log_odds", TensorProto.DOUBLE, ["n"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _nodes(form: LinearForm, helper: Any, double: int) -> tuple[list[Any], dict[str, npt.NDArray[Any]]]:
    node = helper.make_node
    nodes = [
        node("Gather", ["rows", "numeric"], ["numbers"], axis=1),
        node("IsNaN", ["numbers"], ["missing"]),
        node("Where", ["missing", "fill", "numbers"], ["filled"]),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "numeric": np.asarray(form.numeric, dtype=np.int64),
        "fill": np.asarray(form.fill, dtype=np.float64).reshape(1, -1),
        "weights": np.asarray(form.weights),
        "intercept": np.asarray(form.intercept),
    }
    parts = ["filled"]
    for column, codes in form.categories:
        constants[f"column_{column}"] = np.asarray([column], dtype=np.int64)
        constants[f"codes_{column}"] = np.arange(codes, dtype=np.float64).reshape(1, -1)
        nodes += [
            node("Gather", ["rows", f"column_{column}"], [f"code_{column}"], axis=1),
            node("Equal", [f"code_{column}", f"codes_{column}"], [f"is_{column}"]),
            node("Cast", [f"is_{column}"], [f"one_hot_{column}"], to=double),
        ]
        parts.append(f"one_hot_{column}")
    nodes += [
        node("Concat", parts, ["design"], axis=1),
        node("MatMul", ["design", "weights"], ["sum"]),
        node("Add", ["sum", "intercept"], ["log_odds"]),
    ]
    return nodes, constants
