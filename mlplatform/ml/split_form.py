"""Trees of splits as one ONNX operator that adds their leaves up in float64.

`TreeEnsemble` of ai.onnx.ml 5 (ONNX Runtime from 1.21 on) gives float64 where the older `TreeEnsembleRegressor`, in
which scikit-learn's trees are stored, gives float32; so what a LightGBM says is not rounded on the way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import ML, OnnxGraph

__all__ = ["ENSEMBLE_OPSET", "SplitTree", "add_trees"]

ENSEMBLE_OPSET = 5
"""The first of ai.onnx.ml that has the operator."""
_AT_MOST, _MEMBER = 0, 6  # modes of the operator: BRANCH_LEQ, BRANCH_MEMBER

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SplitTree:
    """One tree as columns, all [splits] but the leaves; split 0 is the root. Without any split it is its only leaf.

    A child below 0 is a leaf: -1 is leaf 0, -2 leaf 1, as LightGBM counts.
    """

    feature: Ints
    threshold: Floats
    """Rows at or below it go left."""
    missing_left: Ints
    """1 where a missing value goes left."""
    left: Ints
    right: Ints
    leaves: Floats
    """What each leaf adds, [leaves]."""
    members: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Splits that look at a category: the codes that go left. A missing one goes right."""

    @property
    def splits(self) -> int:
        """How many."""
        return len(self.feature)


def add_trees(graph: OnnxGraph, rows: str, trees: Sequence[SplitTree]) -> str:
    """Name of the sum of the leaves that each row of `rows` float64[n, f] reaches, float64[n]."""
    from onnx import numpy_helper

    trees = [tree if tree.splits else _with_a_split(tree) for tree in trees]
    before = np.cumsum([0, *(tree.splits for tree in trees)])
    leaves_before = np.cumsum([0, *(len(tree.leaves) for tree in trees)])

    def joined(column: Callable[[SplitTree], npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
        return np.concatenate([column(tree) for tree in trees])

    def children(side: Callable[[SplitTree], Ints]) -> list[int]:
        found = [
            np.where(side(tree) < 0, ~side(tree) + leaf, side(tree) + split)
            for tree, split, leaf in zip(trees, before[:-1], leaves_before[:-1], strict=True)
        ]
        return [int(child) for child in np.concatenate(found)]

    leaves = joined(lambda tree: tree.leaves)
    found = graph.compute(
        "TreeEnsemble",
        rows,
        domain=ML,
        n_targets=1,
        tree_roots=before[:-1].tolist(),
        nodes_modes=numpy_helper.from_array(joined(_modes), "modes"),
        nodes_featureids=joined(lambda tree: tree.feature).tolist(),
        nodes_splits=numpy_helper.from_array(joined(lambda tree: tree.threshold).astype(np.float64), "splits"),
        nodes_missing_value_tracks_true=joined(lambda tree: tree.missing_left).tolist(),
        nodes_truenodeids=children(lambda tree: tree.left),
        nodes_trueleafs=joined(lambda tree: (tree.left < 0).astype(np.int64)).tolist(),
        nodes_falsenodeids=children(lambda tree: tree.right),
        nodes_falseleafs=joined(lambda tree: (tree.right < 0).astype(np.int64)).tolist(),
        leaf_targetids=[0] * len(leaves),
        leaf_weights=numpy_helper.from_array(leaves.astype(np.float64), "leaves"),
        **_memberships(trees),
    )
    return graph.compute("Squeeze", found, graph.value(np.array([1], dtype=np.int64)))


def _with_a_split(tree: SplitTree) -> SplitTree:
    """The operator knows no tree that is a leaf: one split, both sides of which are that leaf."""
    none, leaf = np.zeros(1, dtype=np.int64), np.full(1, -1, dtype=np.int64)
    return SplitTree(none, np.zeros(1), none, leaf, leaf, tree.leaves)


def _modes(tree: SplitTree) -> npt.NDArray[np.uint8]:
    modes = np.full(tree.splits, _AT_MOST, dtype=np.uint8)
    modes[list(tree.members)] = _MEMBER
    return modes


def _memberships(trees: Sequence[SplitTree]) -> dict[str, object]:
    """The sets of codes in the order of their splits, NaN behind each."""
    from onnx import numpy_helper

    sets = [tree.members[split] for tree in trees for split in sorted(tree.members)]
    if not sets:
        return {}
    values = np.array([value for codes in sets for value in (*codes, np.nan)], dtype=np.float64)
    return {"membership_values": numpy_helper.from_array(values, "members")}
