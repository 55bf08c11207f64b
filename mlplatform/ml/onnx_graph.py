"""An ONNX graph written node by node, so that what is stored computes in float64 like what was trained.

Exporters are not used: skl2onnx computes in float32, where a value beside a threshold falls on its other side, and
those of torch and keras are one more dependency each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["INPUT", "OUTPUT", "OnnxGraph", "Port"]

INPUT, OUTPUT = "rows", "log_odds"

# Opset 17, ML opset 3 and IR 8 are read by every ONNX Runtime from 1.12 (2022) on.
OPSET, ML_OPSET, IR = 17, 3, 8
ML = "ai.onnx.ml"


class Port(NamedTuple):
    """An input or output of a graph; `type` is a TensorProto's."""

    name: str
    type: int
    shape: Sequence[str | int]


@dataclass
class OnnxGraph:
    """Nodes and constants in the order in which they were added. The input of a stored model is called `rows`."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    ml_opset: int = ML_OPSET

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Keep a number or array; float64 unless it is of whole numbers."""
        array = np.asarray(value)
        self.constants[name] = array if array.dtype == np.int64 else array.astype(np.float64)
        return name

    def add(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Compute `output`, whose name it returns."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def value(self, value: npt.ArrayLike) -> str:
        """Keep a number or array under a name of its own, which it returns."""
        return self.constant(f"value/{len(self.constants)}", value)

    def compute(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Compute something under a name of its own, which it returns."""
        return self.add(operator, list(inputs), f"{operator}/{len(self.nodes)}", domain, **attributes)

    def to_double(self, name: str, output: str) -> str:
        """The same numbers (or 0 and 1 for no and yes) as float64."""
        from onnx import TensorProto

        return self.add("Cast", [name], output, to=TensorProto.DOUBLE)

    def build(self, name: str, width: int) -> bytes:
        """A checked model: `rows` float64[n, width] -> `log_odds` float64[n]."""
        from onnx import TensorProto

        rows, scores = Port(INPUT, TensorProto.DOUBLE, ["n", width]), Port(OUTPUT, TensorProto.DOUBLE, ["n"])
        return self.build_between(name, [rows], [scores])

    def build_between(self, name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> bytes:
        """A checked model with these inputs and outputs."""
        from onnx import checker, helper, numpy_helper

        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(*port) for port in inputs],
            [helper.make_tensor_value_info(*port) for port in outputs],
            [numpy_helper.from_array(value, constant) for constant, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == ML for node in self.nodes):
            opsets.append(helper.make_opsetid(ML, self.ml_opset))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
        checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
