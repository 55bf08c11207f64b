"""A stored ONNX graph as a part of a larger one: what is trained by scikit-learn, PyTorch or Keras."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import INPUT, ML, OUTPUT, OnnxGraph
from mlplatform.ml.split_form import SplitTree, add_trees

__all__ = ["add_stored", "cuts_of_stored"]

_TREES = "TreeEnsembleRegressor"


def add_stored(graph: OnnxGraph, content: bytes, rows: str) -> str:
    """Nodes of a stored graph, reading `rows` float64[n, f]; name of its score float64[n].

    Its trees become those of the newer operator, as one graph can speak one version only, and are rounded to float32 as
    the older one rounds. Raises ArtifactError for another operator of ai.onnx.ml.
    """
    import onnx

    stored = onnx.load_from_string(content).graph
    prefix = f"stored/{len(graph.nodes)}/"
    names = {INPUT: rows}
    for constant in stored.initializer:
        names[constant.name] = graph.constant(prefix + constant.name, onnx.numpy_helper.to_array(constant))
    for node in stored.node:
        inputs = [names[name] for name in node.input]
        [output] = node.output
        if node.domain == ML:
            names[output] = _add_trees(graph, node, inputs[0])
        else:
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            names[output] = graph.add(node.op_type, inputs, prefix + output, **attributes)
    return names[OUTPUT]


def cuts_of_stored(content: bytes) -> dict[int, set[float]]:
    """The thresholds of the trees of a stored graph by column of its rows; empty where it has none."""
    import onnx

    stored = onnx.load_from_string(content).graph
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in stored.initializer}
    numeric = constants.get("numeric", np.empty(0, dtype=np.int64))
    found: dict[int, set[float]] = {}
    for node in (node for node in stored.node if node.op_type == _TREES):
        for tree in _trees(_attributes(node)):
            for feature, threshold in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True):
                # Behind the numeric columns of a design are the 0/1 ones of its categories.
                if feature < len(numeric):
                    found.setdefault(int(numeric[feature]), set()).add(threshold)
    return found


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    if node.op_type != _TREES:
        raise ArtifactError(
            f"a stored graph with the operator {node.op_type} cannot be exported; train the model again"
        )
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _add_trees(graph: OnnxGraph, node: Any, rows: str) -> str:
    """The same as the older operator, float32[n, 1]."""
    from onnx import TensorProto, numpy_helper

    attributes = _attributes(node)
    total = add_trees(graph, rows, _trees(attributes))
    base = numpy_helper.to_array(attributes["base_values_as_tensor"])
    based = graph.compute("Add", total, graph.value(float(base[0])))
    column = graph.compute("Unsqueeze", based, graph.value(np.array([1], dtype=np.int64)))
    return graph.compute("Cast", column, to=TensorProto.FLOAT)


def _trees(attributes: dict[str, Any]) -> Sequence[SplitTree]:
    """As `tree_form.py` writes them: the nodes of a tree side by side, numbered from 0."""
    from onnx import numpy_helper

    number = np.array(attributes["nodes_treeids"], dtype=np.int64)
    leaf = np.array([mode == b"LEAF" for mode in attributes["nodes_modes"]])
    threshold = numpy_helper.to_array(attributes["nodes_values_as_tensor"])
    value = np.zeros(len(number))
    value[leaf] = numpy_helper.to_array(attributes["target_weights_as_tensor"])
    columns = [
        np.array(attributes[f"nodes_{name}"], dtype=np.int64)
        for name in ("featureids", "missing_value_tracks_true", "truenodeids", "falsenodeids")
    ]
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    parts = [slice(start, end) for start, end in zip(starts, [*starts[1:], len(number)], strict=True)]
    return [_tree(leaf[at], threshold[at], value[at], *(column[at] for column in columns)) for at in parts]


def _tree(leaf: Any, threshold: Floats, value: Floats, feature: Any, missing: Any, left: Any, right: Any) -> SplitTree:
    """Splits and leaves of one tree, which are numbered together, each numbered by themselves."""
    place = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)
    split = ~leaf
    return SplitTree(
        feature[split], threshold[split], missing[split], place[left[split]], place[right[split]], value[leaf]
    )
