"""scikit-learn's fitted trees as one ONNX graph.

Thresholds stay float64. A forest compares rows that were rounded to float32, as scikit-learn rounds them; boosted
trees compare them as they are. So a row takes the same way in ONNX Runtime as in scikit-learn, also beside a
threshold (tested); the sum of the leaves leaves the operator as float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlplatform.ml.design import Design
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import ML, OUTPUT, OnnxGraph

__all__ = ["SURE", "Tree", "boosted_to_onnx", "forest_to_onnx", "trees_of_boosting", "trees_of_forest"]

SURE = 1e-3
"""A forest whose trees all agree says 0 or 1, which has no log-odds: shares are drawn into 0.001..0.999, order kept.
Closer to 0, differences that no 200 trees can tell apart would be the largest ones in log-odds."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """One tree as columns, all [nodes]; node 0 is the root."""

    feature: Ints
    """Column of the design; -1 in a leaf."""
    threshold: Floats
    """Rows at or below it go left."""
    missing_left: Ints
    """1 where a missing value goes left."""
    left: Ints
    right: Ints
    value: Floats
    """What a leaf adds."""


def trees_of_forest(forest: Any) -> list[Tree]:
    """Of a fitted RandomForestClassifier of two classes: a leaf's share of positives, over the number of trees."""
    return [_voter(estimator.tree_, len(forest.estimators_)) for estimator in forest.estimators_]


def trees_of_boosting(model: Any, rounds: int) -> list[Tree]:
    """The first `rounds` trees of fitted histogram boosting, of two classes or an amount, without native categories."""
    return [_corrector(predictors[0].nodes) for predictors in model._predictors[:rounds]]  # there is no public way


def forest_to_onnx(trees: Sequence[Tree], design: Design) -> bytes:
    """`rows` float64[n, f] -> log-odds of the mean vote, float64[n]."""
    from onnx import TensorProto

    graph = OnnxGraph()
    graph.add("Cast", [design.add_design(graph)], "rounded", to=TensorProto.FLOAT)
    votes = _add_trees(graph, graph.to_double("rounded", "compared"), trees, 0.0)
    graph.add("Mul", [votes, graph.constant("spread", 1 - 2 * SURE)], "drawn")
    graph.add("Add", ["drawn", graph.constant("sure", SURE)], "share")
    graph.add("Sub", [graph.constant("one", 1.0), "share"], "rest")
    graph.add("Div", ["share", "rest"], "odds")
    graph.add("Log", ["odds"], OUTPUT)
    return graph.build("random_forest", design.features)


def boosted_to_onnx(trees: Sequence[Tree], baseline: float, design: Design) -> bytes:
    """`rows` float64[n, f] -> baseline plus all leaves, float64[n]."""
    graph = OnnxGraph()
    graph.add("Identity", [_add_trees(graph, design.add_design(graph), trees, baseline)], OUTPUT)
    return graph.build("hist_gradient_boosting", design.features)


def _voter(tree: Any, trees: int) -> Tree:
    leaf = tree.children_left < 0
    # Shares of the classes in each node; with class weights they are weighted.
    share = tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1)
    return Tree(
        np.where(leaf, -1, tree.feature),
        np.where(leaf, 0.0, tree.threshold),
        np.zeros(len(leaf), dtype=np.int64),
        tree.children_left,
        tree.children_right,
        share / trees,
    )


def _corrector(nodes: Any) -> Tree:
    return Tree(
        np.where(nodes["is_leaf"], -1, nodes["feature_idx"]),
        np.where(nodes["is_leaf"], 0.0, nodes["num_threshold"]),
        nodes["missing_go_to_left"].astype(np.int64),
        nodes["left"].astype(np.int64),
        nodes["right"].astype(np.int64),
        nodes["value"],
    )


def _add_trees(graph: OnnxGraph, rows: str, trees: Sequence[Tree], baseline: float) -> str:
    """Name of the sum of all leaves that a row reaches, float64[n]."""
    from onnx import numpy_helper

    sizes = [len(tree.feature) for tree in trees]
    number, node = np.repeat(np.arange(len(trees)), sizes), np.concatenate([np.arange(size) for size in sizes])
    feature, threshold, missing, left, right, value = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("feature", "threshold", "missing_left", "left", "right", "value")
    )
    leaf = feature < 0
    graph.add(
        "TreeEnsembleRegressor",
        [rows],
        "leaves",
        domain=ML,
        n_targets=1,
        nodes_treeids=number.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=np.where(leaf, 0, feature).tolist(),
        nodes_values_as_tensor=numpy_helper.from_array(threshold.astype(np.float64), "thresholds"),
        nodes_missing_value_tracks_true=np.where(leaf, 0, missing).tolist(),
        nodes_truenodeids=np.where(leaf, 0, left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, right).tolist(),
        target_treeids=number[leaf].tolist(),
        target_nodeids=node[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights_as_tensor=numpy_helper.from_array(value[leaf].astype(np.float64), "weights"),
        base_values_as_tensor=numpy_helper.from_array(np.array([baseline]), "baseline"),
    )
    graph.add("Squeeze", ["leaves", graph.constant("axis", np.array([1], dtype=np.int64))], "sum")
    return graph.to_double("sum", "total")
